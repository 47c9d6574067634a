"""How much a model computes for a text, from the shapes of its matrix products.

It is what the gate compares. The time that the same products take depends on what else the machine does: one model
was measured at 94 and at 30 articles a second within 40 minutes. Two measurements in turn, a few minutes long, would
vary less, and still vary. The products of labelling's graph follow from the weights' shapes, the model's longest
input and its chunks, so this figure is the same on every machine and in every run.

Not counted is what takes little of the time: embeddings, softmax, layer norms, and tokenising. Not counted either is
an ensemble's linear classifier, of which the products are few; counting its words runs beside the network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classifier.inference.labeller import Prepared
from classifier.model.checkpoint import EncoderShape


def gflops(prepared: Prepared, shape: EncoderShape, categories: int) -> NDArray[np.float64]:
    """Return the 10^9 floating-point operations for each text of a prepared page: (texts,).

    A text counts by its own chunks, at their buckets' widths, and not by the padding rows of its batch.
    """
    chunks = np.zeros(len(prepared.owners))
    for batch in prepared.batches:
        chunks[batch.rows] = _operations(shape, batch.tokens.shape[1], categories) / 1e9
    texts: NDArray[np.float64] = np.bincount(prepared.owners, weights=chunks).astype(np.float64)
    return texts[prepared.positions]


def _operations(shape: EncoderShape, width: int, categories: int) -> int:
    """Return the operations of the matrix products for one row of so many tokens.

    A product of (n, k) with (k, m) is 2nkm. Of the last layer, only the first token's output is computed.
    """
    dim, hidden = shape.dim, shape.hidden_dim
    keys_and_values = 4 * width * dim**2
    per_token = 4 * dim**2 + 4 * width * dim + 4 * dim * hidden  # query and output; attention; feed-forward layer
    head = 2 * dim**2 + 2 * dim * categories
    return shape.n_layers * keys_and_values + ((shape.n_layers - 1) * width + 1) * per_token + head
