"""Dropout that draws one random byte per number, a quarter of the bits that Keras draws, for TensorFlow on a CPU.

Random numbers are most of dropout's cost on a CPU. A byte allows rates in steps of 1/256: 26/256 = 0.1016 for 0.1. The
kept numbers are scaled by exactly that rate, so the mean is exact.
"""

from __future__ import annotations

from typing import Any

import keras  # noqa: TID253  # one of the modules that do

LEVELS = 256


class ByteDropout(keras.layers.Dropout):  # type: ignore[misc]  # Keras has no types
    """Keras' layer with another source of random numbers. Its seeds advance in the same way."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drop a share of the inputs in training, and scale the others."""
        if not training or not dropped_levels(self.rate) or self.noise_shape is not None:
            return super().call(inputs, training=training)
        import tensorflow as tf

        keep = kept(tf.shape(inputs), self.rate, self.seed_generator.next())
        return tf.where(keep, inputs * tf.cast(kept_scale(self.rate), inputs.dtype), tf.zeros((), inputs.dtype))


def dropped_levels(rate: float) -> int:
    """Return the share of bytes that are dropped, in 1/256; 0 if bytes cannot express the rate."""
    dropped = round(LEVELS * rate)
    return dropped if 0 < dropped < LEVELS else 0


def kept_scale(rate: float) -> float:
    """Return the factor of the numbers that are kept."""
    return LEVELS / (LEVELS - dropped_levels(rate))


def kept(shape: Any, rate: float, seed: Any) -> Any:
    """Return a mask of this shape of the numbers that are kept, determined by the seed."""
    import tensorflow as tf

    drawn = _random_bytes(tf.reduce_prod(shape), seed)
    return tf.reshape(drawn >= tf.constant(dropped_levels(rate), tf.uint8), shape)


def _random_bytes(count: Any, seed: Any) -> Any:
    """Return uniform random bytes, shape (count,), determined by the seed."""
    import tensorflow as tf

    words = tf.random.stateless_uniform(
        [(count + 3) // 4], tf.cast(seed, tf.int64), minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    return tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count]


def replace_dropout(model: Any) -> None:
    """Replace every dropout layer of the model."""
    for layer in model._flatten_layers():  # noqa: SLF001 - the attention's are not among `layers`
        if type(layer) is keras.layers.Dropout:
            layer.__class__ = ByteDropout
