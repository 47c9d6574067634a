"""Sketches distinguish a small change of a text from another text."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.ingest import minhash_sketches, shingles

KEPT = [4089675930477008779, 4662760050168164599, 13819658781847632850]
TEXTS = st.lists(st.sampled_from("abcde"), max_size=30).map(" ".join)


def jaccard(first, second):
    hashes, others = ({*shingles.hash_shingles([text])[0].tolist()} for text in (first, second))
    return len(hashes & others) / len(hashes | others) if hashes | others else 0.0


def similarity(first, second):
    return minhash_sketches.similarity(*minhash_sketches.compute_sketches([first, second]))


@given(TEXTS, TEXTS)
def test_the_similarity_of_short_texts_is_exact_and_symmetric(first, second):
    assert similarity(first, second) == pytest.approx(jaccard(first, second))
    assert similarity(first, second) == similarity(second, first)


@pytest.mark.parametrize("changed", [0, 5, 20, 60])
def test_the_similarity_of_long_texts_is_estimated(changed):
    generator = random.Random(changed)
    words = [f"w{generator.randrange(10**6)}" for _ in range(20_000)]
    other = [f"x{index}" if generator.randrange(100) < changed else word for index, word in enumerate(words)]
    first, second = " ".join(words), " ".join(other)
    assert similarity(first, second) == pytest.approx(jaccard(first, second), abs=0.09)  # four standard errors
    assert len(minhash_sketches.compute_sketches([first])[0]) == 8 * minhash_sketches.SIZE


def test_texts_without_shingles_are_not_similar():
    assert minhash_sketches.compute_sketches(["", "two words"]) == [b"", b""]
    assert similarity("two words", "two words") == 0


def test_a_sketch_does_not_depend_on_the_other_texts_of_a_batch():
    texts = ["one two three four", "", "five six", "seven eight nine ten eleven"]
    assert minhash_sketches.compute_sketches(texts) == [minhash_sketches.compute_sketches([text])[0] for text in texts]
    assert minhash_sketches.compute_sketches([]) == []


def test_the_bytes_of_stored_sketches_never_change():
    (sketch,) = minhash_sketches.compute_sketches(["The bank raises its rates."])
    assert np.frombuffer(sketch, "<u8").tolist() == KEPT


@pytest.mark.parametrize(
    ("words", "changed", "small"), [(40, 1, True), (40, 2, True), (40, 6, False), (19, 1, True), (10, 1, False)]
)
def test_a_change_is_small_if_seven_of_ten_shingles_are_shared(words, changed, small):
    before = [f"w{number}" for number in range(words)]
    after = list(before)
    for number in range(changed):
        after[(number + 1) * words // (changed + 1)] = f"new{number}"
    assert (
        minhash_sketches.is_small_change(*minhash_sketches.compute_sketches([" ".join(before), " ".join(after)]))
        is small
    )
