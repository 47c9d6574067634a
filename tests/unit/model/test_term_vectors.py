"""The vectors of a linear classifier that was read have the bits of the scikit-learn vectorizers that trained it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.model import linear

TEXTS = [
    "The goal of the match: the team, the TEAM and its goal.",
    "Shares of the bank  fell\n\n3.5 percent; the bank's shares!",
    "Un café naïve, l'été — and the chip",
    "one two three four five six seven eight nine ten " * 3,
]
WORDS = st.sampled_from(" ".join(TEXTS).split(" "))


@pytest.fixture(scope="module", params=linear.KINDS)
def pair(request):
    """A classifier that was trained, and the same one after it was written and read."""
    texts = TEXTS * 5
    trained = linear.fit_linear(texts, [str(number % 4) for number in range(len(texts))], request.param)
    return trained, linear.from_files(trained.to_files(), trained.categories, request.param)


def assert_same_bits(pair, texts):
    for trained, read in zip(*(classifier.vectorizers for classifier in pair), strict=True):
        expected, actual = trained.transform(texts), read.transform(texts)
        np.testing.assert_array_equal(actual.indptr, expected.indptr)
        np.testing.assert_array_equal(actual.indices, expected.indices)
        np.testing.assert_array_equal(actual.data, expected.data)


@given(st.lists(st.lists(WORDS, max_size=60).map(" ".join), max_size=4))
def test_texts_of_known_words_have_the_same_bits(pair, texts):
    assert_same_bits(pair, texts) if texts else None


@given(st.text(max_size=200))
def test_any_text_has_the_same_bits(pair, text):
    assert_same_bits(pair, [text, f"{TEXTS[0]} {text}"])


def test_no_texts_give_no_rows(pair):
    assert pair[1].vectorizers[0].transform([]).shape == (0, len(pair[0].vectorizers[0].vocabulary_))


def test_what_was_read_is_written_unchanged(pair):
    trained, read = pair
    assert read.to_files() == trained.to_files()
