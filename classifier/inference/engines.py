"""The interface of an inference engine, and the choice of the fastest engine on this machine."""

from __future__ import annotations

import logging
from typing import Literal, Protocol

from classifier.articles import PaddingMask, Probabilities, TokenIds
from classifier.inference import keras_engine, openvino_engine  # they import their frameworks on use
from classifier.model import hardware
from classifier.model.checkpoint import EncoderShape
from classifier.model.fine_tuned import FineTunedModel

log = logging.getLogger(__name__)

EngineName = Literal["auto", "openvino", "keras"]
Dtype = Literal["auto", "f32", "bf16"]


class InferenceEngine(Protocol):
    """A network that is loaded and computes probabilities."""

    @property
    def name(self) -> str:
        """The engine's name, as `choose_engine` takes it."""

    @property
    def dtype(self) -> str:
        """The dtype of the matrix products: "f32", "bf16" or "f16". Probabilities are float32 with each of them."""

    @property
    def device(self) -> str:
        """The name of the processor or GPU; for Keras, followed by its backend."""

    @property
    def shape(self) -> EncoderShape:
        """The sizes of the encoder."""

    def probabilities(self, tokens: TokenIds, mask: PaddingMask) -> Probabilities:
        """Return each row's probabilities; `tokens` and `mask` are (articles, tokens)."""


def choose_engine(model: FineTunedModel, *, engine: EngineName = "auto", dtype: Dtype = "auto") -> InferenceEngine:
    """Build the engine of that name for a model; "auto" is the fastest one on this machine.

    With "auto", the engine is Keras if its backend sees a GPU, else OpenVINO, in the dtype that the machine multiplies
    fastest.
    """
    name, reason = _pick(engine)
    chosen = _build(model, name, dtype)
    values = {"engine": chosen.name, "dtype": chosen.dtype, "reason": reason}
    log.info("labelling with %(engine)s in %(dtype)s: %(reason)s", values, extra=values)
    return chosen


def _pick(engine: EngineName) -> tuple[str, str]:
    """Return the engine's name and the reason for it."""
    if engine != "auto":
        return engine, "it was requested"
    if not hardware.may_have_gpu():
        return "openvino", "there is no GPU"
    if keras_engine.sees_gpu():
        return "keras", "Keras sees a GPU"
    return "openvino", "there is a GPU, but Keras does not see it"


def _build(model: FineTunedModel, name: str, dtype: Dtype) -> InferenceEngine:
    if name == "keras":
        return keras_engine.KerasEngine(model.checkpoint, len(model.categories), kind=model.kind, dtype=dtype)
    if dtype == "auto":
        dtype = "bf16" if hardware.multiplies_bfloat16() else "f32"
    return openvino_engine.OpenVinoEngine(model.checkpoint, kind=model.kind, dtype=dtype)
