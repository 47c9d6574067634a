"""The Keras network as an inference engine: for a GPU, and as the reference for the other engine."""

from __future__ import annotations

from typing import Literal

from classifier.articles import PaddingMask, Probabilities, TaskKind, TokenIds
from classifier.model.checkpoint import Checkpoint


class KerasEngine:
    """A DistilBERT classifier on Keras' backend: TensorFlow, or the one that `KERAS_BACKEND` names."""

    name = "keras"

    def __init__(
        self,
        checkpoint: Checkpoint,
        categories: int,
        *,
        kind: TaskKind = "single",
        dtype: Literal["auto", "f32", "bf16"] = "f32",
    ) -> None:
        from classifier.model.keras import backend, network

        policies: dict[str, backend.Dtype] = {"f32": "float32", "bf16": "mixed_bfloat16"}
        policy = backend.best_dtype() if dtype == "auto" else policies[dtype]
        self.dtype = {"float32": "f32", "mixed_bfloat16": "bf16", "mixed_float16": "f16"}[policy]
        self.device = backend.device()
        self.shape = checkpoint.shape
        self._network = network.Network(checkpoint.shape, categories, kind=kind, dtype=policy)
        self._network.load(checkpoint)

    def probabilities(self, tokens: TokenIds, mask: PaddingMask) -> Probabilities:
        """Return each row's probabilities; `tokens` and `mask` are (articles, tokens)."""
        return self._network.probabilities(tokens, mask)


def sees_gpu() -> bool:
    """Return whether Keras' backend can use a GPU. Importing the backend takes seconds."""
    from classifier.model.keras import backend

    return backend.sees_gpu()
