"""The hyper-parameters of a training, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from classifier.exceptions import SettingsError
from classifier.model.linear import KINDS
from classifier.model.text_chunking import Chunking

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
CLASS_WEIGHTS = ("none", "balanced")
LONG_ARTICLES = ("truncate", "chunk")
HEADS = ("probe", "random")
ENSEMBLES = ("none", *KINDS)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a classifier is trained.

    Attributes:
        name: Where the values come from: a recipe's name, and in brackets what was set besides.
        epochs: Passes over the train split; early stopping may end them sooner.
        batch_size: Articles a step. Small batches learn more from few articles.
        batch_tokens: Word pieces a step at most, padding included, so that long articles come in smaller batches;
            0 sets no bound.
        learning_rate: Peak of the schedule. 5e-5 is DistilBERT-base's; smaller encoders bear more.
        warmup: Share of the steps in which the learning rate rises from 0.
        weight_decay: AdamW's; biases and layer norms are left out of it.
        clip_norm: The gradient is scaled down to this norm where it is longer.
        dropout: Of the encoder, as DistilBERT was pretrained.
        masking: Share of an article's word pieces that [MASK] stands for, others at each step, so that no single
            word decides (word dropout: Iyyer et al., 2015). Costs no time.
        max_length: Word pieces after which a text is cut off, or that a chunk has; two of them are no text.
        long_articles: "truncate" cuts off, "chunk" reads on in chunks whose logits' mean, by length, counts.
        stride: Word pieces from a chunk's beginning to the next one's.
        max_chunks: Of an article, 64 at most; what comes behind them is cut off.
        patience: Epochs without a better macro-F1 on the validation split before training stops.
        seed: Of the weights, the order of articles and dropout.
        precision: "auto" takes what the machine multiplies fastest.
        class_weights: "balanced" gives every category the same say in the loss, however rare it is.
        head: How a new head starts: "probe" fits it alone first, to what the encoder answers before it is trained
            (`training/probe.py`); "random" is as DistilBERT does.
        frozen_layers: Layers, from the bottom, that keep their weights, the embeddings with them; 0 trains all.
        layer_decay: Each layer learns at this times the rate of the one above it (Howard and Ruder, 2018).
        label_smoothing: Share of the target that all categories divide (Szegedy et al., 2016).
        ema_decay: Weights are validated and kept as their moving average, which remembers this much at each
            step (Polyak and Juditsky, 1992); 0 keeps the last step's.
        ensemble: "linear" has a linear classifier on TF-IDF answer beside the network, weighed on the validation split;
            "style" one that counts punctuation and characters, too, for who wrote rather than what about.
    """

    name: str = "default"
    epochs: int = 4
    batch_size: int = 16
    batch_tokens: int = 0
    learning_rate: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    dropout: float = 0.1
    masking: float = 0.0
    max_length: int = 256
    long_articles: str = "truncate"
    stride: int = 192
    max_chunks: int = 8
    patience: int = 2
    seed: int = 0
    precision: str = "auto"
    class_weights: str = "none"
    head: str = "probe"
    frozen_layers: int = 0
    layer_decay: float = 1.0
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    ensemble: str = "none"

    def __post_init__(self) -> None:
        """Refuse values that cannot train."""
        if self.epochs < 1 or self.batch_size < 1 or self.patience < 1:
            raise SettingsError("epochs, batch size and patience have to be at least 1")
        if not 0 < self.learning_rate < 1:
            raise SettingsError(f"learning rate {self.learning_rate}: has to be between 0 and 1")
        if self.max_length < 8:
            raise SettingsError(f"max length {self.max_length}: has to be at least 8 word pieces")
        if self.frozen_layers < 0 or self.seed < 0 or self.batch_tokens < 0:
            raise SettingsError("frozen layers, seed and batch tokens have to be at least 0")
        if not 0 < self.layer_decay <= 1:
            raise SettingsError(f"layer decay {self.layer_decay}: has to be above 0 and at most 1")
        if not (self.clip_norm > 0 and self.weight_decay >= 0):
            raise SettingsError("clip norm has to be above 0, and weight decay at least 0")
        for name in ("warmup", "dropout", "masking", "label_smoothing", "ema_decay"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise SettingsError(f"{name.replace('_', ' ')} {value}: has to be at least 0 and below 1")
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("class weights", self.class_weights, CLASS_WEIGHTS)
        _one_of("head", self.head, HEADS)
        _one_of("long articles", self.long_articles, LONG_ARTICLES)
        _one_of("ensemble", self.ensemble, ENSEMBLES)
        if self.chunking:
            self.chunking.check(self.max_length)

    @property
    def chunking(self) -> Chunking | None:
        """How long articles are read in chunks; None where they are cut off."""
        return Chunking(self.stride, self.max_chunks) if self.long_articles == "chunk" else None


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{what} {value!r}: one of {', '.join(allowed)}")
