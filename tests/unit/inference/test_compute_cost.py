"""The compute cost of a text follows from shapes alone."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.inference import compute_cost
from classifier.inference.batch_sizes import BatchSizes
from classifier.inference.labeller import Labeller, Prepared, TokenBatch
from classifier.model.checkpoint import EncoderShape
from classifier.model.text_chunking import Chunking
from classifier.model.tokenization import Tokenization
from tests.support.tiny_models import make_encoder

BASE = EncoderShape(30_522, 6, 12, 768, 3072, 512)  # distilbert-base-uncased


def prepared(*widths):
    """Return one text a width, each in a batch with three padding rows."""
    batches = tuple(
        TokenBatch(np.zeros((4, width), np.int32), np.zeros((4, width), np.int32), np.array([row]))
        for row, width in enumerate(widths)
    )
    rows = np.arange(len(widths))
    return Prepared(batches, rows, rows, np.ones(len(widths)))


def test_a_text_of_256_tokens_by_hand():
    # a layer: 4 products with (768, 768), 2 with (768, 3072), and 2 of attention, 256 tokens each
    layer = 2 * 256 * (4 * 768**2 + 2 * 768 * 3072 + 2 * 256 * 768)
    last = 2 * (256 * 2 * 768**2 + 2 * 768**2 + 2 * 768 * 3072 + 2 * 256 * 768)  # one query, keys and values of all
    head = 2 * (768**2 + 768 * 5)
    assert compute_cost.gflops(prepared(256), BASE, 5) == pytest.approx([(5 * layer + last + head) / 1e9], rel=1e-12)


def test_padding_rows_and_other_texts_do_not_count():
    alone = [compute_cost.gflops(prepared(width), BASE, 5)[0] for width in (64, 128, 256)]
    assert compute_cost.gflops(prepared(64, 128, 256), BASE, 5).tolist() == alone


def test_a_long_text_counts_with_each_of_its_chunks(tmp_path):
    directory = make_encoder(tmp_path / "encoder")
    shape = EncoderShape(17, 2, 2, 8, 16, 64)
    texts = ["the team goal " * 20, "the match"]

    def gflops(chunking):
        tokenization = Tokenization.read(directory, 16, chunking)
        labeller = Labeller(tokenization, None, ("a", "b"), BatchSizes.fixed(64))
        return compute_cost.gflops(labeller.prepare([*texts, texts[0]]), shape, 2)

    cut, chunked = gflops(None), gflops(Chunking(stride=14, max_chunks=4))
    assert cut[0] == cut[1] == cut[2] == chunked[1]
    assert chunked[0] == chunked[2] == pytest.approx(4 * cut[0])
