"""A training step in two halves that are computed in parallel, for TensorFlow on a CPU with two cores or more.

TensorFlow divides each operation among threads and waits for all of them before the next operation. In an encoder of a
few million weights, most operations are too small for that. The two halves of a batch are two branches of a graph that
do not wait for each other before the loss. The loss is that of the batch, so gradients differ only by rounding and by
the random numbers of dropout.
"""

from __future__ import annotations

from typing import Any

import keras_hub  # noqa: TID253  # one of the modules that do

from classifier.model.hardware import available_cores


class SplitStep(keras_hub.models.DistilBertTextClassifier):  # type: ignore[misc]  # it has no types
    """The classifier, which computes a training batch in two halves."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the logits of a batch, shape (articles, categories)."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        half = (tf.shape(inputs["token_ids"])[0] + 1) // 2
        first = {name: rows[:half] for name, rows in inputs.items()}
        second = {name: rows[half:] for name, rows in inputs.items()}
        return tf.concat([super(SplitStep, self).call(rows, training=True) for rows in (first, second)], axis=0)


def split_training_steps(model: Any) -> None:
    """Make the model compute its training steps in halves, if there are two cores."""
    if available_cores() > 1:
        model.__class__ = SplitStep
