"""A training step in two halves that are computed side by side, for TensorFlow on a CPU of two cores or more.

Within an operation TensorFlow shares the work out among threads, and waits for all of them before the next one: in an
encoder of a few million weights most operations are too small for that. Two halves of the batch are a graph of two
branches, neither of which waits for the other until the loss. The loss is the batch's, so a gradient differs by
rounding alone, and by the random numbers of dropout.
"""

from __future__ import annotations

from typing import Any

import keras_hub  # noqa: TID253  # one of the modules that do

from classifier.model.hardware import available_cores


class SplitStep(keras_hub.models.DistilBertTextClassifier):  # type: ignore[misc]  # it has no types
    """The classifier, whose calls in training are two."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the logits of a batch, shape (articles, categories)."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        half = (tf.shape(inputs["token_ids"])[0] + 1) // 2
        first = {name: rows[:half] for name, rows in inputs.items()}
        second = {name: rows[half:] for name, rows in inputs.items()}
        return tf.concat([super(SplitStep, self).call(rows, training=True) for rows in (first, second)], axis=0)


def use(model: Any) -> None:
    """Let the model compute its training steps in halves where there are two cores for them."""
    if available_cores() > 1:
        model.__class__ = SplitStep
