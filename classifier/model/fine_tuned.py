"""A fine-tuned model in memory: all that turns a text into a probability for each category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from classifier.model import temperature_scaling
from classifier.model.checkpoint import Checkpoint
from classifier.model.ensemble import Ensemble
from classifier.model.tokenization import Tokenization


@dataclass(frozen=True, slots=True, eq=False)
class FineTunedModel:
    """A DistilBERT with its classification head, tokenization and categories, in the order of its outputs.

    Attributes:
        calibration: The temperature and the threshold, with the figures that they were chosen by; empty for a model
            that was not calibrated.
        ensemble: The linear classifier that predicts together with the network; None if the network predicts alone.
    """

    checkpoint: Checkpoint
    tokenization: Tokenization
    categories: tuple[str, ...]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    ensemble: Ensemble | None = None

    @property
    def temperature(self) -> float:
        """The number that the logits are divided by."""
        return temperature_scaling.from_calibration(self.calibration)
