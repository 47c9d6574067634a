"""What Keras lacks of optimisation: learning rates by layer, a smoothed loss, averaged weights to validate.

It runs on each of Keras' backends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras  # noqa: TID253  # one of the modules that do
import numpy as np

from classifier.model.keras.backend import backend, is_tensorflow_on_cpu
from classifier.model.keras.on_tensorflow import adamw as on_tensorflow


def adamw(rates: Mapping[str, float]) -> Any:
    """Return the class of the fastest AdamW at hand with a learning rate for each variable, as `by_layer` has it."""
    if is_tensorflow_on_cpu():
        return on_tensorflow.adamw(rates)
    if backend() == "torch":
        from classifier.model.keras.on_torch import adamw

        return adamw.adamw(rates)
    return by_layer(rates)


def by_layer(rates: Mapping[str, float]) -> Any:
    """Return the class of an AdamW whose learning rate for a variable, and so its decay, is times `rates[path]`.

    Keras' own where all rates are 1: it is faster. Scaling gradients would do nothing: Adam divides by their size.
    """
    if set(rates.values()) == {1.0}:
        return keras.optimizers.AdamW

    class ByLayer(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras has no types
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            # TensorFlow's own variable comes here, which does not know its path
            known = self._trainable_variables[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * rates[known.path])

        def _apply_weight_decay(self, variables: Any) -> None:
            for variable in variables:
                if self._use_weight_decay(variable):
                    rate = keras.ops.cast(self.learning_rate, variable.dtype) * rates[variable.path]
                    variable.assign(variable - variable * self.weight_decay * rate)

    return ByLayer


def loss(label_smoothing: float) -> Any:
    """Return the cross-entropy of logits and category positions, one value an article until it is weighed.

    With smoothing s, the target is 1 - s for the category and s divided among all of them.
    """
    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def smoothed(targets: Any, logits: Any) -> Any:
        wanted = keras.ops.one_hot(keras.ops.cast(targets, "int32"), logits.shape[-1])
        wanted = wanted * (1.0 - label_smoothing) + label_smoothing / logits.shape[-1]
        return keras.ops.categorical_crossentropy(wanted, keras.ops.cast(logits, "float32"), from_logits=True)

    return smoothed


@contextmanager
def averaged(model: Any) -> Iterator[None]:
    """Give the model the moving average of its weights, where it keeps one, for as long as this lasts."""
    variables = model.trainable_variables
    last = [np.array(variable.numpy()) for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, last, strict=True):
            variable.assign(value)
