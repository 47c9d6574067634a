"""The hyper-parameters of a training, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from classifier.exceptions import SettingsError


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a classifier is trained.

    Attributes:
        epochs: Passes over the train split; early stopping may end them sooner.
        batch_size: Articles a step. Small batches learn more from few articles.
        learning_rate: Peak of the schedule. 5e-5 is DistilBERT-base's; smaller encoders bear more.
        warmup: Share of the steps in which the learning rate rises from 0.
        weight_decay: AdamW's; biases and layer norms are left out of it.
        clip_norm: The gradient is scaled down to this norm where it is longer.
        dropout: Of the encoder, as DistilBERT was pretrained.
        max_length: Word pieces after which a text is cut off.
        patience: Epochs without a better macro-F1 on the validation split before training stops.
        seed: Of the weights, the order of articles and dropout.
        precision: "auto" takes what the machine multiplies fastest.
    """

    epochs: int = 4
    batch_size: int = 16
    learning_rate: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    dropout: float = 0.1
    max_length: int = 256
    patience: int = 2
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse values that cannot train."""
        if self.epochs < 1 or self.batch_size < 1 or self.patience < 1:
            raise SettingsError("epochs, batch size and patience have to be at least 1")
        if not 0 < self.learning_rate < 1:
            raise SettingsError(f"learning rate {self.learning_rate}: has to be between 0 and 1")
        if self.max_length < 8:
            raise SettingsError(f"max length {self.max_length}: has to be at least 8 word pieces")
        if self.precision not in {"auto", "float32", "mixed_bfloat16", "mixed_float16"}:
            raise SettingsError(f"precision {self.precision!r}: one of auto, float32, mixed_bfloat16, mixed_float16")
