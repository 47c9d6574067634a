"""The split of an article is chosen permanently, in the requested proportions."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.articles import SPLITS
from classifier.exceptions import SettingsError
from classifier.ingest import splits
from classifier.ingest.splits import Proportions, assign_split

FINGERPRINTS = [sha256(str(n).encode()).digest() for n in range(5000)]
PINNED = [
    "train",
    "train",
    "train",
    "validation",
    "validation",
    "test",
    "train",
    "train",
    "train",
    "train",
    "train",
    "test",
]


def decisions(key="key", proportions=Proportions()):  # noqa: B008
    return [assign_split(fingerprint, key=key, proportions=proportions) for fingerprint in FINGERPRINTS]


def test_the_split_is_the_same_in_every_process_and_release():
    # literal values: another hash would move articles of an installation between splits
    assert decisions(proportions=Proportions(0.4, 0.3, 0.3))[:12] == PINNED


def test_another_key_gives_other_splits():
    assert decisions("key") != decisions("another key")


@pytest.mark.parametrize("key", ["", "k", "k" * 64, "k" * 65, "k" * 1000, "schlüssel"])
def test_a_key_may_have_any_length(key):
    assert set(decisions(key)) == set(SPLITS)


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.98, 0.01, 0.01), (0.1, 0.1, 0.8)])
def test_the_splits_have_the_requested_shares(shares):
    counts = Counter(decisions(proportions=Proportions(*shares)))
    for split, share in zip(SPLITS, shares, strict=True):
        spread = (len(FINGERPRINTS) * share * (1 - share)) ** 0.5
        assert abs(counts[split] - len(FINGERPRINTS) * share) < 4 * spread


def test_a_larger_train_share_moves_no_article_out_of_train():
    small, large = decisions(proportions=Proportions(0.6, 0.2, 0.2)), decisions(proportions=Proportions(0.7, 0.2, 0.1))
    assert all(after == "train" for before, after in zip(small, large, strict=True) if before == "train")


@pytest.mark.parametrize(
    "shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.7, 0.3, 0)]
)
def test_a_split_with_no_share_is_never_chosen(shares):
    possible = {split for split, share in zip(SPLITS, shares, strict=True) if share}
    assert set(decisions(proportions=Proportions(*shares))) == possible


def test_the_last_hash_value_never_gets_a_split_without_a_share(monkeypatch):
    class Last:
        def digest(self):
            return b"\xff" * 8  # as a fraction of 2**64 it rounds to 1

    monkeypatch.setattr(splits, "blake2b", lambda *_args, **_options: Last())
    assert assign_split(b"", key="key", proportions=Proportions(0.7, 0.3, 0)) == "validation"


@settings(max_examples=200, deadline=None)
@given(fingerprint=st.binary(max_size=64), key=st.text(max_size=80))
def test_equal_fingerprints_get_equal_splits(fingerprint, key):
    first, again = (assign_split(fingerprint, key=key, proportions=Proportions()) for _ in range(2))
    assert first == again in SPLITS


@pytest.mark.parametrize(
    "shares",
    [
        (0.8, 0.1, 0.2),
        (0.8, 0.1, 0),
        (1.1, -0.1, 0),
        (0, 0, 0),
        (float("nan"), 0.5, 0.5),
        (float("inf"), 0, 0),
        (-1, 1, 1),
    ],
)
def test_shares_that_do_not_add_up_to_one_are_refused(shares):
    with pytest.raises(SettingsError, match="each must be 0 or more, and they must add up to 1"):
        Proportions(*shares)


def test_rounding_errors_of_the_sum_are_tolerated():
    assert sum((0.7, 0.2, 0.1)) != 1
    assert Proportions(0.7, 0.2, 0.1).shares == (0.7, 0.2, 0.1)


@pytest.mark.parametrize("value", ["0.8,0.1,0.1", " 0.8, 0.1 ,0.1 ", ".8,.1,1e-1"])
def test_proportions_are_parsed(value):
    assert Proportions.parse(value) == Proportions(0.8, 0.1, 0.1)


@pytest.mark.parametrize("value", ["", "0.8", "0.8,0.2", "0.8,0.1,0.1,0", "a,b,c", "80%,10%,10%", "0.8;0.1;0.1", ",,"])
def test_a_value_that_is_not_three_numbers_is_refused(value):
    with pytest.raises(SettingsError, match="must be three numbers, for train, validation, test; write, for example"):
        Proportions.parse(value)
