"""One graph of TensorFlow's for batches of all shapes.

Keras traces a step anew for the first shape, for the first other width and for the first other number of rows, and
each trace of a DistilBERT takes as long as some dozens of steps on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def steps(model: Any) -> None:
    """Give a model with its optimiser the function that Keras would make to fit it, traced for all shapes at once."""
    import tensorflow as tf

    model.optimizer.build(model.trainable_variables)
    batch = (_inputs(), tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.float32))
    model.train_function = _of_first(model, model.train_step, batch)


def answers(model: Any) -> None:
    """Give a model the function that Keras would make to ask it, traced for all shapes at once."""
    model.predict_function = _of_first(model, model.predict_step, (_inputs(),))


def _inputs() -> dict[str, Any]:
    import tensorflow as tf

    ids = tf.TensorSpec([None, None], tf.int32)
    return {"token_ids": ids, "padding_mask": ids}


def _of_first(model: Any, step: Callable[[Any], Any], signature: Any) -> Callable[[Iterator[Any]], Any]:
    """Return a function of an iterator of one batch, as Keras' own are."""
    import tensorflow as tf

    traced = tf.function(step, input_signature=[signature], autograph=False)
    return lambda batches: (step if model.run_eagerly else traced)(next(iter(batches)))
