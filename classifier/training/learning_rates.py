"""Check that a recipe's learning rate suits the size of the encoder."""

from __future__ import annotations

BASE_DIM = 768
"""Hidden size of DistilBERT-base and BERT-base."""

MAX_RATE_OF_BASE = 1e-4
"""Twice the highest rate with which BERT's authors fine-tuned an encoder of `BASE_DIM` (Devlin et al., 2019)."""

SMALL_DIM = 384
"""Hidden size of encoders of some 22 million weights."""

MIN_RATE_OF_SMALL = 5e-5
"""The recipes for encoders of `SMALL_DIM` use 2e-4; a quarter of that needs more epochs than a recipe has."""


def unsuitable_learning_rate(learning_rate: float, dim: int, *, fine_tuned: bool = False) -> str | None:
    """Return a warning that names a better learning rate, or None if this one suits an encoder of hidden size `dim`.

    If the weights are `fine_tuned` already, no learning rate is too low.
    """
    rate = f"learning_rate {learning_rate:g}"
    if dim >= BASE_DIM and learning_rate > MAX_RATE_OF_BASE:
        return f"{rate} is too high for an encoder of hidden size {dim}; set learning_rate=5e-5"
    if dim <= SMALL_DIM and not fine_tuned and learning_rate < MIN_RATE_OF_SMALL:
        return f"{rate} is too low for an encoder of hidden size {dim}; set learning_rate=2e-4"
    return None
