"""The Keras network as a labelling engine: for a GPU, and to compare with."""

from __future__ import annotations

from typing import Literal

from classifier.articles import PaddingMask, Probabilities, TokenIds
from classifier.model.checkpoint import Checkpoint


class KerasEngine:
    """A DistilBERT classifier on Keras' backend, TensorFlow unless `KERAS_BACKEND` says otherwise."""

    name = "keras"

    def __init__(
        self, checkpoint: Checkpoint, categories: int, *, precision: Literal["auto", "f32", "bf16"] = "f32"
    ) -> None:
        from classifier.model.keras import backend, network

        wanted: dict[str, backend.Precision] = {"f32": "float32", "bf16": "mixed_bfloat16"}
        chosen = backend.best_precision() if precision == "auto" else wanted[precision]
        self.precision = {"float32": "f32", "mixed_bfloat16": "bf16", "mixed_float16": "f16"}[chosen]
        self.device = backend.device()
        self._network = network.Network(checkpoint.shape, categories, precision=chosen)
        self._network.load(checkpoint)

    def probabilities(self, tokens: TokenIds, mask: PaddingMask) -> Probabilities:
        """Return each row's probabilities; `tokens` and `mask` are (articles, tokens)."""
        return self._network.probabilities(tokens, mask)


def sees_gpu() -> bool:
    """Ask Keras' backend whether it can use a GPU; importing it takes seconds."""
    from classifier.model.keras import backend

    return backend.sees_gpu()
