"""AdamW with a learning rate for each layer, the losses, and validation with averaged weights.

Keras has none of them. They run on both backends, TensorFlow and PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras  # noqa: TID253  # one of the modules that do
import numpy as np

from classifier.model.keras.backend import backend, is_tensorflow_on_cpu
from classifier.model.keras.on_tensorflow.adamw import fused_adamw


def fastest_adamw(rates: Mapping[str, float]) -> Any:
    """Return the fastest class for this machine that does what `layerwise_adamw`'s does."""
    if is_tensorflow_on_cpu():
        return fused_adamw(rates)
    if backend() == "torch":
        from classifier.model.keras.on_torch import adamw

        return adamw.fused_adamw(rates)
    return layerwise_adamw(rates)


def layerwise_adamw(rates: Mapping[str, float]) -> Any:
    """Return a class of AdamW that multiplies a variable's learning rate, and so its decay, by `rates[path]`.

    If all rates are 1, it is Keras' own class, which is faster. Scaled gradients would have no effect, because Adam
    divides by their size.
    """
    if set(rates.values()) == {1.0}:
        return keras.optimizers.AdamW

    class LayerwiseAdamW(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras has no types
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            # here `variable` is TensorFlow's own, which does not know its path
            keras_variable = self._trainable_variables[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * rates[keras_variable.path])

        def _apply_weight_decay(self, variables: Any) -> None:
            for variable in variables:
                if self._use_weight_decay(variable):
                    rate = keras.ops.cast(self.learning_rate, variable.dtype) * rates[variable.path]
                    variable.assign(variable - variable * self.weight_decay * rate)

    return LayerwiseAdamW


def loss(label_smoothing: float) -> Any:
    """Return the cross-entropy of logits and category positions: one value per article, before weighting.

    With smoothing s, the target is 1 - s for the category, and s is divided evenly among all categories.
    """
    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def smoothed(targets: Any, logits: Any) -> Any:
        probabilities = keras.ops.one_hot(keras.ops.cast(targets, "int32"), logits.shape[-1])
        probabilities = probabilities * (1.0 - label_smoothing) + label_smoothing / logits.shape[-1]
        return keras.ops.categorical_crossentropy(probabilities, keras.ops.cast(logits, "float32"), from_logits=True)

    return smoothed


def binary_loss(label_smoothing: float, positive_weights: Sequence[float] = ()) -> Any:
    """Return the binary cross-entropy of logits and label matrices: one value per article, before weighting.

    It is the sum over the categories, so it is the negative log-likelihood of the article's labels, and its gradient is
    as long as that of a single label. With the mean that PyTorch's `BCEWithLogitsLoss` takes, the gradient of a hundred
    categories would be a hundred times shorter, and AdamW's epsilon would slow the training down.

    With smoothing s, the target is 1 - s / 2 for a category of the article and s / 2 for the others.
    `positive_weights` multiply the loss of the categories that an article has; by default all are 1.
    """
    ops, factors = keras.ops, np.asarray(positive_weights or 1.0, dtype=np.float32)

    def summed(targets: Any, logits: Any) -> Any:
        weights = ops.convert_to_tensor(factors)
        logits = ops.cast(logits, "float32")
        smoothed = ops.cast(targets, "float32") * (1.0 - label_smoothing) + label_smoothing / 2
        of_positive = ops.softplus(-logits)  # weighted as in BCEWithLogitsLoss
        each = (1.0 - smoothed) * logits + (1.0 + (weights - 1.0) * smoothed) * of_positive
        return ops.sum(each, axis=-1)

    return summed


@contextmanager
def averaged_weights(model: Any) -> Iterator[None]:
    """Replace the model's weights by their moving average until the context ends."""
    variables = model.trainable_variables
    last = [np.array(variable.numpy()) for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, last, strict=True):
            variable.assign(value)
