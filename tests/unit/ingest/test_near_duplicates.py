"""Shingles, bands and clusters: which texts are near-duplicates, and which splits they get."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.ingest import clusters, minhash_bands, prefetch, shingles
from classifier.ingest.clusters import NewText
from classifier.ingest.fingerprints import fold

WORDS = [f"{a}{b}{c}" for a in "bdfglm" for b in "aeiou" for c in "nrst"]


def article(seed: int, words: int = 300) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)


def shared(first: str, second: str) -> bool:
    bands, has_bands = minhash_bands.compute_bands([first, second])
    return bool(has_bands.all() and (bands[0] == bands[1]).any())


@given(st.text())
def test_folding_equals_splitting_and_joining(text):
    assert fold(text) == " ".join(text.casefold().split())


@given(st.text(alphabet="a B\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\u00a0\u2003"))
def test_folding_handles_every_kind_of_white_space(text):
    assert fold(text) == " ".join(text.casefold().split())


@given(st.lists(st.sampled_from(["one", "two", "drei", "vier", "fünf", "六"]), max_size=40))
def test_shingles_are_equal_if_and_only_if_their_words_are(words):
    windows = list(zip(words, words[1:], words[2:], strict=False))
    hashes = shingles.hash_shingles([" ".join(words)])[0].tolist()
    assert len(hashes) == len(windows)
    assert len(set(zip(hashes, windows, strict=True))) == len(set(hashes)) == len(set(windows))


@given(st.lists(st.text(alphabet="ab é-"), max_size=12))
def test_no_shingle_spans_two_texts(texts):
    together, counts = shingles.hash_shingles(texts)
    alone = [shingles.hash_shingles([text])[0] for text in texts]
    assert counts.tolist() == [len(hashes) for hashes in alone]
    assert together.tolist() == [value for hashes in alone for value in hashes.tolist()]


def test_case_white_space_and_punctuation_do_not_change_shingles():
    plain = shingles.hash_shingles(["the bank said on monday that shares fell"])[0]
    assert (shingles.hash_shingles([' "The bank," said -\n on MONDAY:that   shares fell. '])[0] == plain).all()


@pytest.mark.parametrize("text", ["", " ", "one", "one two", "... one --- two !"])
def test_a_text_shorter_than_a_shingle_has_no_bands(text):
    bands, has_bands = minhash_bands.compute_bands([text, "one two three"])
    assert bands.shape == (2, minhash_bands.BANDS)
    assert has_bands.tolist() == [False, True]


def test_an_empty_batch_has_no_bands():
    bands, has_bands = minhash_bands.compute_bands([])
    assert bands.shape == (0, minhash_bands.BANDS)
    assert has_bands.shape == (0,)


def test_the_bands_of_a_text_do_not_depend_on_the_other_texts():
    texts = [" ".join(article(seed, 5 + seed)) for seed in range(600)] + ["", "long " * 60_000, "too short"]
    together, _ = minhash_bands.compute_bands(texts)
    assert (together == np.concatenate([minhash_bands.compute_bands([text])[0] for text in texts])).all()


def test_the_values_of_stored_bands_never_change():
    """If this fails, new texts would not match the texts in a database."""
    bands, _ = minhash_bands.compute_bands(["The quick brown fox jumps over the lazy dog, again and again: été 2024."])
    assert bands[0].tolist() == GOLDEN


@pytest.mark.parametrize("seed", range(50))
def test_a_text_with_one_changed_word_in_a_hundred_is_a_near_duplicate(seed):
    words = article(seed, 100)
    other = [*words]
    other[seed * 2] = "changed"
    assert shared(" ".join(words), " ".join(other))


def test_different_articles_share_no_band():
    bands, _ = minhash_bands.compute_bands([" ".join(article(seed)) for seed in range(2000)])
    assert len(np.unique(bands)) == bands.size


def test_equal_values_in_different_bands_do_not_match():
    bands, _ = minhash_bands.compute_bands(["same same same same"])
    assert len(set(bands[0].tolist())) == minhash_bands.BANDS


def new(name: str, *bands: int, requested=None) -> NewText:
    return NewText(name.encode().ljust(32, b"\0"), bands, requested)


def splits_of(texts, chosen, homes=None, splits=None):
    placed = clusters.assign_clusters(
        texts, homes or {}, splits or {}, lambda digest: chosen[digest.rstrip(b"\0").decode()]
    )
    return placed, {member.fingerprint.rstrip(b"\0").decode(): member.split for member in placed.members}


def test_a_near_duplicate_joins_the_cluster_and_adds_its_bands():
    placed, split = splits_of([new("a", 1, 2), new("b", 2, 3), new("c", 3, 4)], {"a": "test"})
    assert split == {"a": "test", "b": "test", "c": "test"}
    assert set(placed.bands) == {1, 2, 3, 4}
    assert len(placed.clusters) == 1


def test_a_cluster_keeps_its_split_whatever_split_new_members_request():
    _, split = splits_of([new("a", 1, requested="train"), new("b", 1, requested="test")], {})
    assert split == {"a": "train", "b": "train"}


@pytest.mark.parametrize(
    ("first", "second", "bridge"),
    [("train", "test", "train"), ("test", "validation", "validation"), ("test", "test", "test")],
)
def test_a_bridge_takes_the_least_guarded_split_and_belongs_to_both(first, second, bridge):
    placed, split = splits_of([new("a", 1), new("b", 2), new("c", 1, 2, 3)], {"a": first, "b": second})
    assert split == {"a": first, "b": second, "c": bridge}
    (fingerprint, further) = placed.bridges[0]
    home = placed.members[2].cluster_id
    assert fingerprint.startswith(b"c")
    assert {home, further} == set(placed.clusters)
    assert placed.bands[3] == home


def test_texts_without_bands_are_clusters_of_their_own():
    placed, split = splits_of([new("a"), new("b")], {"a": "train", "b": "test"})
    assert split == {"a": "train", "b": "test"}
    assert len(placed.clusters) == 2


@given(st.data())
def test_the_division_into_batches_changes_nothing(data):
    rows = data.draw(st.lists(st.lists(st.integers(0, 30), max_size=4), max_size=40))
    texts = [new(f"t{number}", *bands) for number, bands in enumerate(rows)]
    chosen = {f"t{number}": ("train", "validation", "test")[number % 3] for number in range(len(rows))}
    expected_placement, expected = splits_of(texts, chosen)
    cut = data.draw(st.integers(0, len(texts)))
    first, before = splits_of(texts[:cut], chosen)
    second, after = splits_of(texts[cut:], chosen, first.bands, first.clusters)
    assert before | after == expected
    assert first.bands | second.bands == expected_placement.bands
    assert first.bridges + second.bridges == expected_placement.bridges


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=3), max_size=30))
def test_any_two_texts_that_share_a_band_share_a_cluster(rows):
    texts = [new(f"t{number}", *bands) for number, bands in enumerate(rows)]
    placed, _ = splits_of(texts, {f"t{number}": "train" for number in range(len(rows))})
    homes = {member.fingerprint: {member.cluster_id} for member in placed.members}
    for fingerprint, cluster_id in placed.bridges:
        homes[fingerprint].add(cluster_id)
    for text in texts:
        for other in texts:
            if set(text.bands) & set(other.bands):
                assert homes[text.fingerprint] & homes[other.fingerprint]


def test_prefetching_yields_all_items_and_raises_errors_in_their_place():
    assert list(prefetch.prefetch_one(iter(range(5)))) == list(range(5))

    def failing():
        yield 1
        raise KeyError

    items = prefetch.prefetch_one(failing())
    assert next(items) == 1
    with pytest.raises(KeyError):
        next(items)


def test_prefetching_computes_only_one_item_ahead():
    made = []
    items = prefetch.prefetch_one(made.append(number) or number for number in range(10))
    assert next(items) == 0
    items.close()
    assert len(made) <= 2


GOLDEN = [
    -9_124_459_397_231_308_455,
    -3_063_537_949_287_047_419,
    -7_128_721_064_437_281_591,
    -319_757_604_863_341_540,
    5_620_880_082_238_996_833,
    -6_310_758_418_178_095_473,
    4_033_518_480_714_668_307,
    -2_918_449_829_584_864_377,
    1_930_536_293_703_577_654,
    4_661_639_819_752_580_122,
    4_569_514_175_750_414_723,
    -4_645_325_331_262_917_993,
    -8_806_837_915_875_326_230,
    5_270_566_024_654_274_521,
    7_133_906_277_065_483_445,
    3_869_335_017_677_139_971,
]
