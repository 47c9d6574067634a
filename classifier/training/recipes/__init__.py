"""Declare every hyper-parameter of a training once: its type, bounds, default and help.

Validation, recipe files, `classifier train --set`, `classifier recipes --keys` and the form of the DAG
`retrain_classifier` all read this declaration; see `hyper_parameters`. A DAG file imports this module, so nothing
heavy may be imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

if TYPE_CHECKING:
    from classifier.model.text_chunking import Chunking

Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(
    frozen=True,
    slots=True,
    config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True),
)
class Recipe:
    """The hyper-parameters of a training. The docstring of each is its help text.

    `name` is not a hyper-parameter: it shows where the values come from, a recipe's name followed by the changed keys.
    """

    name: str = "default"

    epochs: Count = 4
    """Passes over the train split; early stopping may end the training sooner."""

    batch_size: Count = 16
    """Articles per step. Small batches learn more from few articles."""

    batch_tokens: NotNegative = 0
    """Maximum word pieces per step, padding included, so that long articles come in smaller batches; 0: no maximum."""

    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    """Peak of the schedule. 5e-5 suits DistilBERT-base; smaller encoders tolerate more, such as 2e-4."""

    warmup: Share = 0.1
    """Share of the steps in which the learning rate rises from 0."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's weight decay; biases and layer norms are exempt."""

    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Maximum norm of the gradient; a longer gradient is scaled down to it."""

    dropout: Share = 0.1
    """Dropout of the encoder; DistilBERT was pretrained with 0.1."""

    masking: Share = 0.0
    """Share of the word pieces that [MASK] replaces, drawn again at each step (word dropout: Iyyer et al., 2015)."""

    max_length: Annotated[int, Field(ge=8, le=512)] = 256
    """Word pieces of a text that are read, or of each chunk; two of them are special."""

    long_texts: Literal["truncate", "chunk"] = "truncate"
    """Texts longer than max_length: truncate them, or read them in chunks and average the logits by chunk length."""

    stride: Count = 192
    """Word pieces from the start of one chunk to the start of the next; at most max_length less 2."""

    max_chunks: Annotated[int, Field(ge=1, le=64)] = 8
    """Maximum chunks per article; the text behind them is not read."""

    titles: Literal["read", "ignore"] = "read"
    """Titles of articles: read each before its text, or ignore them. An article without a title is read the same."""

    patience: Count = 2
    """Epochs without a better macro-F1 on the validation split before training stops."""

    seed: NotNegative = 0
    """Seed of the new weights, the order of the articles and the dropout."""

    dtype: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    """Number format of the training; auto: the fastest that the machine supports."""

    class_weights: Literal["none", "balanced"] = "none"
    """Weight of each category in the loss; balanced: equal for every category (of a multi-label task: 1 to 10)."""

    head: Literal["probe", "random"] = "probe"
    """Start of a new classification head: a linear probe of the pretrained encoder, or random weights."""

    frozen_layers: NotNegative = 0
    """Number of lowest layers whose weights stay fixed, together with the embeddings; 0: train all layers."""

    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of a layer as a share of that of the layer above (Howard and Ruder, 2018); 1: equal rates."""

    label_smoothing: Share = 0.0
    """Share of the target that is spread over all categories (Szegedy et al., 2016)."""

    ema_decay: Share = 0.0
    """Decay of the moving average of the weights that is kept (Polyak and Juditsky, 1992); 0: keep the last step's."""

    ensemble: Literal["none", "linear", "style"] = "none"
    """Classifier on TF-IDF that predicts with the network: linear counts words; style tells authors apart."""

    def __post_init__(self) -> None:
        """Raise a `SettingsError` if chunks would leave text between them unread."""
        if self.chunking:
            self.chunking.check(self.max_length)

    @property
    def read_title(self) -> bool:
        """Whether the model reads titles."""
        return self.titles == "read"

    @property
    def chunking(self) -> Chunking | None:
        """How texts longer than `max_length` are read in chunks; None if they are truncated."""
        if self.long_texts == "truncate":
            return None
        from classifier.model.text_chunking import Chunking  # imports NumPy, which a DAG file must not

        return Chunking(self.stride, self.max_chunks)
