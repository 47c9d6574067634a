"""An article's chunks cover it up to a bound, and the mean of their logits, by length, is its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.model import text_chunking
from classifier.model.sigmoid import sigmoid
from classifier.model.text_chunking import Chunking
from classifier.model.tokenization import Tokenization
from classifier.training.training_state import TokenizedArticles
from tests.support.tiny_models import write_tokenizer


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """One that knows the numbers from 0 as words, so that each word of a text is another piece."""
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory, [str(number) for number in range(100)])
    return directory


@given(
    lengths=st.lists(st.integers(0, 100), max_size=5),
    max_length=st.integers(8, 40),
    overlap=st.integers(0, 5),
    most=st.integers(1, 6),
)
def test_chunks_begin_a_stride_apart_and_cover_the_text_up_to_the_last_one(
    tokenizer, lengths, max_length, overlap, most
):
    chunking = Chunking(max_length - 2 - overlap, most)
    tokenization = Tokenization.read(tokenizer, max_length, chunking)
    texts = [" ".join(str(number) for number in range(length)) for length in lengths]
    result = tokenization.chunks(texts)
    assert len(result.pieces) == len(result.owners)
    assert result.weights.tolist() == [len(ids) for ids in result.pieces]
    rows = [ids.tolist() for ids in result.pieces]
    if texts:
        assert rows[0] == tokenization.pieces(texts)[0].tolist()
    for article, length in enumerate(lengths):
        mine = [ids for ids, owner in zip(rows, result.owners, strict=True) if owner == article]
        assert 1 <= len(mine) <= most
        assert all(len(ids) <= max_length and ids[0] == 2 and ids[-1] == 3 for ids in mine)
        words = [[piece - 5 for piece in ids[1:-1]] for ids in mine]
        seen = sorted({word for chunk in words for word in chunk})
        assert seen == list(range(min(length, (most - 1) * chunking.stride + max_length - 2)))
        assert [chunk[0] for chunk in words if chunk] == [
            number * chunking.stride for number in range(len(mine)) if length
        ]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 9))
def test_the_pooled_probabilities_are_the_softmax_of_the_weighted_mean_logits(counts, seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 4, (sum(counts), 3)).astype(np.float32)
    weights = generator.integers(3, 500, sum(counts)).astype(np.float64)
    owners = np.repeat(np.arange(len(counts)), counts)
    pooled = text_chunking.pool(softmax(logits), owners, weights)
    assert pooled.dtype == np.float32
    for article, count in enumerate(counts):
        mean = np.average(logits[owners == article], axis=0, weights=weights[owners == article])
        np.testing.assert_allclose(pooled[article], softmax(mean), rtol=1e-4, atol=1e-7)
        if count == 1:
            np.testing.assert_array_equal(pooled[article], softmax(logits)[owners == article][0])


def test_an_article_depends_on_its_own_chunks_alone():
    probabilities = softmax(np.random.default_rng(0).normal(0, 3, (300, 8)).astype(np.float32))
    owners = np.sort(np.random.default_rng(1).integers(0, 90, 300))
    owners = np.unique(owners, return_inverse=True)[1]
    weights = np.random.default_rng(2).integers(3, 500, 300).astype(np.float64)
    together = text_chunking.pool(probabilities, owners, weights)
    alone = [
        text_chunking.pool(
            probabilities[owners == owner], np.zeros((owners == owner).sum(), int), weights[owners == owner]
        )
        for owner in set(owners)
    ]
    np.testing.assert_array_equal(np.concatenate(alone), together)


def test_a_probability_that_was_rounded_to_nothing_is_small_and_what_is_no_number_stays_none():
    probabilities = np.array([[1, 0], [0.5, 0.5], [np.nan, 1], [0.5, 0.5], [np.inf, 0], [1, 0]], dtype=np.float32)
    pooled = text_chunking.pool(probabilities, np.array([0, 0, 1, 1, 2, 2]), np.ones(6))
    assert 0 < pooled[0, 1] < 1e-15
    assert not np.isfinite(pooled[1:]).any()


def test_no_articles_have_no_probabilities():
    empty = np.empty((0, 3), dtype=np.float32)
    assert text_chunking.pool(empty, np.empty(0, dtype=np.int64), np.empty(0)).shape == (0, 3)


def test_a_chunk_counts_by_its_length_in_training_too():
    article = TokenizedArticles([[2, *range(5, 13), 3], [2, 5, 3], [2, 6, 3]], np.array([1, 0]), np.array([0, 0, 1]))
    assert article.shares.tolist() == [0.75, 0.75, 1.5]
    weighed = replace(article, weights=np.array([10.0, 2.0, 3.0]))
    assert weighed.shares.tolist() == [1.25, 0.25, 1.5]
    assert weighed.sha256() != article.sha256()
    chunks = softmax(np.array([[2.0, 0.0], [0.0, 6.0], [1.0, 0.0]], dtype=np.float32))
    assert article.pooled(chunks).argmax(axis=1).tolist() == [1, 0]
    assert weighed.pooled(chunks).argmax(axis=1).tolist() == [0, 0]


def test_a_multi_label_articles_probabilities_are_the_sigmoid_of_the_weighted_mean_logits():
    generator = np.random.default_rng(0)
    logits, weights = generator.normal(0, 4, (40, 5)), generator.integers(3, 500, 40).astype(np.float64)
    owners = np.repeat(np.arange(20), 2)[:40]
    probabilities = sigmoid(logits).astype(np.float32)
    pooled = text_chunking.pool(probabilities, owners, weights, kind="multi")
    assert pooled.dtype == np.float32
    for article in range(20):
        mean = np.average(logits[owners == article], axis=0, weights=weights[owners == article])
        np.testing.assert_allclose(pooled[article], sigmoid(mean), atol=1e-5)
        rows = owners == article
        alone = text_chunking.pool(probabilities[rows], np.zeros(2, int), weights[rows], kind="multi")
        np.testing.assert_array_equal(alone[0], pooled[article])
    certain = np.array([[0, 1], [1, 1]], dtype=np.float32)
    assert np.isfinite(text_chunking.pool(certain, np.zeros(2, int), np.ones(2), kind="multi")).all()
