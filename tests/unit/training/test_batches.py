"""Every article is in one batch, near others of its length, padded to one of few widths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.training.batches import (
    BUCKETS,
    BatchSize,
    batches,
    bucket_width,
    count_batches,
    mask_tokens,
    split_batch,
)

lengths_of_articles = st.lists(st.integers(2, 512), min_size=1, max_size=120)


def articles(lengths):
    return [[number % 1000 + 1] * length for number, length in enumerate(lengths)], np.arange(len(lengths))


@given(
    lengths_of_articles, st.builds(BatchSize, st.integers(1, 17), st.sampled_from([0, 16, 700, 5000])), st.booleans()
)
def test_every_article_comes_once_complete_and_with_its_target(lengths, size, shuffled):
    pieces, targets = articles(lengths)
    generator = np.random.default_rng(0) if shuffled else None
    result = list(batches(pieces, targets, size=size, shuffle=generator))
    assert sorted(row for batch in result for row in batch.rows) == list(range(len(pieces)))
    for batch in result:
        rows, width = batch.tokens.shape
        assert batch.mask.shape == (rows, width)
        assert width in BUCKETS
        assert rows == size.rows(width)
        assert rows <= size.articles
        assert not size.tokens or rows == 1 or rows * width <= size.tokens
        filled = len(batch.rows)
        assert batch.sample_weight.tolist() == [1] * filled + [0] * (rows - filled)
        assert batch.targets[:filled].tolist() == targets[batch.rows].tolist()
        for row, article in enumerate(batch.rows):
            assert batch.tokens[row][batch.mask[row] == 1].tolist() == pieces[article]
        assert (batch.mask.sum(axis=1) > 0).all(), "attention over no token at all is not a number"


def test_without_shuffling_the_order_is_by_length():
    pieces, targets = articles([40, 3, 20, 3, 500, 7])
    result = list(batches(pieces, targets, size=BatchSize(2)))
    assert [batch.rows.tolist() for batch in result] == [[4, 0], [2, 5], [1, 3]]
    assert [batch.tokens.shape[1] for batch in result] == [512, 32, 16]


def test_weights_are_the_articles_weights_in_the_loss():
    pieces, targets = articles([40, 3, 20])
    weights = np.array([0.5, 1, 2], dtype=np.float32)
    (batch,) = batches(pieces, targets, size=BatchSize(4), weights=weights)
    assert batch.sample_weight.tolist() == [0.5, 2, 1, 0]


def test_a_maximum_of_word_pieces_makes_few_shapes_of_about_equal_cost():
    lengths = np.random.default_rng(2).lognormal(4.8, 0.7, 2000).clip(4, 512).astype(int).tolist()
    pieces, targets = articles(lengths)
    size = BatchSize(64, 4096)
    result = list(batches(pieces, targets, size=size, shuffle=np.random.default_rng(0)))
    costs = [batch.tokens.size for batch in result]
    assert np.mean(np.array(costs) >= 0.8 * 4096) > 0.9
    assert len({batch.tokens.shape for batch in result}) <= len(BUCKETS)
    assert sum(lengths) / sum(costs) > 0.85


def test_the_same_seed_produces_the_same_batches_and_another_epoch_others():
    pieces, targets = articles(np.random.default_rng(1).integers(2, 300, 200).tolist())

    def orders(seed):
        generator = np.random.default_rng(seed)
        return [
            [batch.rows.tolist() for batch in batches(pieces, targets, size=BatchSize(8), shuffle=generator)]
            for _ in "ab"
        ]

    first, again, other = orders(0), orders(0), orders(1)
    assert first == again
    assert first[0] != first[1]
    assert first != other


def test_little_is_computed_for_padding():
    lengths = np.random.default_rng(2).lognormal(4.8, 0.7, 2000).clip(4, 512).astype(int).tolist()
    pieces, targets = articles(lengths)
    result = list(batches(pieces, targets, size=BatchSize(16), shuffle=np.random.default_rng(0)))
    computed = sum(batch.tokens.size for batch in result)
    assert sum(lengths) / computed > 0.8
    assert 16 * 512 * len(result) > 2.5 * computed, "padding all articles to 512 would compute more"


@pytest.mark.parametrize(("length", "width"), [(1, 16), (16, 16), (17, 32), (512, 512), (900, 512)])
def test_a_bucket_is_the_narrowest_that_holds_the_length(length, width):
    assert bucket_width(length) == width


@given(lengths_of_articles, st.builds(BatchSize, st.integers(1, 9), st.sampled_from([0, 700])), st.integers(1, 3))
def test_the_batches_of_all_epochs_are_counted_in_advance(lengths, size, epochs):
    pieces, targets = articles(lengths)
    shuffle = np.random.default_rng(3)
    expected = sum(1 for _ in range(epochs) for _ in batches(pieces, targets, size=size, shuffle=shuffle))
    assert count_batches(pieces, size, epochs, np.random.default_rng(3)) == expected


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 3))
def test_the_parts_of_a_batch_have_equal_size_and_the_weight_of_the_batch(size, accumulation_steps, padding):
    filled = max(1, size - padding)
    pieces, targets = articles(range(2, filled + 2))
    (batch,) = batches(pieces, targets, size=BatchSize(size))
    parts = split_batch(batch, accumulation_steps)
    assert len(parts) == accumulation_steps
    assert len({part.tokens.shape for part in parts}) == 1
    assert sorted(row for part in parts for row in part.rows) == list(range(filled))
    losses = [part.sample_weight.sum() / len(part.sample_weight) for part in parts]
    assert np.mean(losses) == pytest.approx(batch.sample_weight.sum() / size)
    assert all((part.mask.sum(axis=1) > 0).all() for part in parts)


def test_completed_batches_are_skipped():
    pieces, targets = articles([5] * 20)
    epoch, remaining = (
        [
            batch.rows.tolist()
            for batch in batches(pieces, targets, size=BatchSize(3), shuffle=np.random.default_rng(1), start=start)
        ]
        for start in (0, 4)
    )
    assert remaining == epoch[4:]


MASK, CLS, SEP = 2000, 2001, 2002


def of_length(*lengths, rows):
    pieces = [[CLS, *[5] * (length - 2), SEP] for length in lengths]
    (batch,) = batches(pieces, np.zeros(len(pieces), dtype=np.int64), size=BatchSize(rows))
    return batch


def test_the_mask_replaces_a_share_of_the_word_pieces_and_nothing_else():
    batch = of_length(400, 300, 200, rows=4)
    result = mask_tokens(batch, 0.1, MASK, np.random.default_rng(0))
    hidden = result.tokens == MASK
    assert (batch.tokens[hidden] == 5).all()
    assert (result.tokens[~hidden] == batch.tokens[~hidden]).all()
    assert hidden.sum() / (batch.tokens == 5).sum() == pytest.approx(0.1, abs=0.03)
    assert result.mask is batch.mask
    assert not (batch.tokens == MASK).any(), "the articles themselves are unchanged"


@given(st.lists(st.integers(2, 20), min_size=1, max_size=5))
def test_special_word_pieces_are_never_masked(lengths):
    batch = of_length(*lengths, rows=6)
    result = mask_tokens(batch, 1.0, MASK, np.random.default_rng(0))
    for row, length in enumerate(sorted(lengths, reverse=True)):
        assert result.tokens[row][batch.mask[row] == 1].tolist() == [CLS, *[MASK] * (length - 2), SEP]
    assert (result.tokens[len(lengths) :] == 0).all()
