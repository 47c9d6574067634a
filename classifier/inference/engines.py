"""What computes probabilities, and the choice of it for the machine at hand."""

from __future__ import annotations

import logging
from typing import Literal, Protocol

from classifier.articles import PaddingMask, Probabilities, TokenIds
from classifier.inference import keras_engine, openvino_engine  # they import their frameworks on use
from classifier.model import hardware
from classifier.model.artefact import Artefact
from classifier.model.checkpoint import Checkpoint

log = logging.getLogger(__name__)

EngineName = Literal["auto", "openvino", "keras"]
Precision = Literal["auto", "f32", "bf16"]


class InferenceEngine(Protocol):
    """A model, ready to be asked.

    `precision` is the number format of the matrix products, "f32", "bf16" or "f16"; probabilities are
    float32 whatever it is.
    """

    @property
    def name(self) -> str:
        """The engine's name, as `choose` takes it."""

    @property
    def precision(self) -> str:
        """The number format that is really used."""

    @property
    def device(self) -> str:
        """The processor or the GPU, and with what Keras computes where it is Keras."""

    def probabilities(self, tokens: TokenIds, mask: PaddingMask) -> Probabilities:
        """Return each row's probabilities; `tokens` and `mask` are (articles, tokens)."""


def choose_engine(artefact: Artefact, *, engine: EngineName = "auto", precision: Precision = "auto") -> InferenceEngine:
    """Load the model into the engine that is fastest here, or into the one that is named.

    "auto" takes Keras where its backend sees a GPU and OpenVINO otherwise, in the number format that
    the machine multiplies fastest.

    Raises:
        EncoderError: the artefact's weights do not fit its `config.json`.
    """
    return for_checkpoint(artefact.checkpoint(), len(artefact.categories), engine=engine, precision=precision)


def for_checkpoint(
    checkpoint: Checkpoint, categories: int, *, engine: EngineName = "auto", precision: Precision = "auto"
) -> InferenceEngine:
    """Choose as `choose` does, for weights that are in memory."""
    name, reason = _pick(engine)
    chosen = _load(checkpoint, categories, name, precision)
    values = {"engine": chosen.name, "precision": chosen.precision, "reason": reason}
    log.info("labelling with %(engine)s in %(precision)s: %(reason)s", values, extra=values)
    return chosen


def _pick(engine: EngineName) -> tuple[str, str]:
    """Return the engine's name and the reason for it."""
    if engine != "auto":
        return engine, "it was asked for"
    if not hardware.may_have_gpu():
        return "openvino", "there is no GPU"
    if keras_engine.sees_gpu():
        return "keras", "Keras sees a GPU"
    return "openvino", "there is a GPU, but Keras does not see it"


def _load(checkpoint: Checkpoint, categories: int, name: str, precision: Precision) -> InferenceEngine:
    if name == "keras":
        return keras_engine.KerasEngine(checkpoint, categories, precision=precision)
    if precision == "auto":
        precision = "bf16" if hardware.multiplies_bfloat16() else "f32"
    return openvino_engine.OpenVinoEngine(checkpoint, precision=precision)
