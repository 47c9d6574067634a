"""One TensorFlow graph for batches of all shapes.

Keras traces a step again for the first other width, and for the first other number of rows. Each trace of a DistilBERT
takes as long as dozens of steps on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from classifier.articles import TaskKind


def trace_training(model: Any, *, kind: TaskKind = "single") -> None:
    """Set the training function of a model with its optimizer, traced once for all shapes."""
    import tensorflow as tf

    model.optimizer.build(model.trainable_variables)
    targets = tf.TensorSpec([None, None], tf.float32) if kind == "multi" else tf.TensorSpec([None], tf.int64)
    batch = (_inputs(), targets, tf.TensorSpec([None], tf.float32))
    model.train_function = _on_first_batch(model, model.train_step, batch)


def trace_prediction(model: Any) -> None:
    """Set the prediction function of a model, traced once for all shapes."""
    model.predict_function = _on_first_batch(model, model.predict_step, (_inputs(),))


def _inputs() -> dict[str, Any]:
    import tensorflow as tf

    ids = tf.TensorSpec([None, None], tf.int32)
    return {"token_ids": ids, "padding_mask": ids}


def _on_first_batch(model: Any, step: Callable[[Any], Any], signature: Any) -> Callable[[Iterator[Any]], Any]:
    """Return a function of an iterator with one batch, as Keras expects it."""
    import tensorflow as tf

    traced = tf.function(step, input_signature=[signature], autograph=False)
    return lambda batches: (step if model.run_eagerly else traced)(next(iter(batches)))
