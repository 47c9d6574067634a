"""The number of operations that a model computes for a text, from the shapes of its matrix products.

The gate compares this number, because time depends on what else the machine does. The products follow from the sizes
of the weights, the model's longest input and its chunks, so the number is the same on every machine and in every run.

It leaves out what takes little time: embeddings, softmax, layer norms, tokenization, and an ensemble's linear
classifier.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classifier.inference.labeller import Prepared
from classifier.model.checkpoint import EncoderShape


def gflops(prepared: Prepared, shape: EncoderShape, categories: int) -> NDArray[np.float64]:
    """Return 10^9 floating-point operations for each text of a prepared page: (texts,).

    A text counts with its own chunks, at their buckets' widths, and without the padding rows of its batch.
    """
    chunks = np.zeros(len(prepared.owners))
    for batch in prepared.batches:
        chunks[batch.rows] = _operations(shape, batch.tokens.shape[1], categories) / 1e9
    texts: NDArray[np.float64] = np.bincount(prepared.owners, weights=chunks).astype(np.float64)
    return texts[prepared.positions]


def _operations(shape: EncoderShape, width: int, categories: int) -> int:
    """Return the operations of the matrix products for one row of `width` tokens.

    A product of (n, k) with (k, m) has 2nkm operations. In the last layer, only the first token's output is computed.
    """
    dim, hidden = shape.dim, shape.hidden_dim
    keys_and_values = 4 * width * dim**2
    per_token = 4 * dim**2 + 4 * width * dim + 4 * dim * hidden  # query and output; attention; feed-forward layer
    head = 2 * dim**2 + 2 * dim * categories
    return shape.n_layers * keys_and_values + ((shape.n_layers - 1) * width + 1) * per_token + head
