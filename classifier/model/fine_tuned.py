"""A fine-tuned model in memory: all that turns a text into a probability for each category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from classifier.articles import TaskKind
from classifier.model import multi_label, temperature_scaling
from classifier.model.checkpoint import Checkpoint
from classifier.model.ensemble import Ensemble
from classifier.model.multi_label import Thresholds
from classifier.model.tokenization import Tokenization


@dataclass(frozen=True, slots=True, eq=False)
class FineTunedModel:
    """A DistilBERT with its classification head, tokenization and categories, in the order of its outputs.

    Attributes:
        calibration: The temperature and the threshold, with the figures that they were chosen by; empty for a model
            that was not calibrated.
        ensemble: The linear classifier that predicts together with the network; None if the network predicts alone.
        kind: "single" for probabilities that sum to 1 over the categories, "multi" for one of each category alone.
    """

    checkpoint: Checkpoint
    tokenization: Tokenization
    categories: tuple[str, ...]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    ensemble: Ensemble | None = None
    kind: TaskKind = "single"

    @property
    def temperature(self) -> float:
        """The number that the logits are divided by."""
        return temperature_scaling.from_calibration(self.calibration)

    @property
    def thresholds(self) -> Thresholds:
        """The threshold of each category of a multi-label model."""
        return multi_label.from_calibration(self.calibration, len(self.categories))
