"""Dropout that draws a byte a number, a quarter of the random bits that Keras' draws, for TensorFlow on a CPU.

There, random numbers are most of what dropout costs, and dropout a quarter of a step in bfloat16. A byte
gives the rate in steps of 1/256: 26/256 = 0.1016 for 0.1. What is kept is scaled up by just that, so that the
mean stays exact. (Keras' own compares in the input's format: in bfloat16 it drops 0.1017 and scales for 0.1.)
"""

from __future__ import annotations

from typing import Any

import keras  # noqa: TID253  # one of the modules that do

LEVELS = 256


class ByteDropout(keras.layers.Dropout):  # type: ignore[misc]  # Keras has no types
    """Keras' layer with another source of random numbers; its seeds advance in the same way."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drop a share of the inputs while training, and scale up the others."""
        if not training or not dropped_levels(self.rate) or self.noise_shape is not None:
            return super().call(inputs, training=training)
        import tensorflow as tf

        keep = kept(tf.shape(inputs), self.rate, self.seed_generator.next())
        return tf.where(keep, inputs * tf.cast(kept_scale(self.rate), inputs.dtype), tf.zeros((), inputs.dtype))


def dropped_levels(rate: float) -> int:
    """Return which share of the bytes is dropped, in 1/256; 0 where bytes cannot tell."""
    dropped = round(LEVELS * rate)
    return dropped if 0 < dropped < LEVELS else 0


def kept_scale(rate: float) -> float:
    """Return by how much what is kept is scaled up."""
    return LEVELS / (LEVELS - dropped_levels(rate))


def kept(shape: Any, rate: float, seed: Any) -> Any:
    """Return which numbers of this shape are kept, as the seed decides."""
    import tensorflow as tf

    drawn = _random_bytes(tf.reduce_prod(shape), seed)
    return tf.reshape(drawn >= tf.constant(dropped_levels(rate), tf.uint8), shape)


def _random_bytes(count: Any, seed: Any) -> Any:
    """Return so many uniform bytes, shape (count,), that the seed alone decides."""
    import tensorflow as tf

    words = tf.random.stateless_uniform(
        [(count + 3) // 4], tf.cast(seed, tf.int64), minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    return tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count]


def use(model: Any) -> None:
    """Let every dropout of the model draw bytes."""
    for layer in model._flatten_layers():  # noqa: SLF001 - the attention's are not among `layers`
        if type(layer) is keras.layers.Dropout:
            layer.__class__ = ByteDropout
