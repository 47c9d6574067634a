"""Attention in training with an explicit gradient, for TensorFlow on a CPU.

The arrays of shape `[articles, heads, length, length]` are the encoder's largest at 512 word pieces, and TensorFlow's
automatic gradient passes over them some twenty times. The explicit gradient needs one pass in addition to the matrix
products. It computes the row sums of the weights' gradients from the attention's output (Dao et al., 2022, appendix
B.2).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import keras  # noqa: TID253  # one of the modules that do

from classifier.model.keras.on_tensorflow.byte_dropout import dropped_levels, kept, kept_scale

MASKED = -3e4
"""Added to the score of a masked key: finite in every dtype, and gives a weight of 0."""


class ExplicitGradientAttention(keras.layers.MultiHeadAttention):  # type: ignore[misc]  # Keras has no types
    """Keras' layer with the same weights, masks and dropout. Options that training does not use are left to Keras."""

    def _compute_attention(
        self,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        **options: Any,
    ) -> Any:
        """Return the mean of the values, weighted by the attention, shape (articles, length, heads, features).

        `attention_mask` marks the keys that are not padding, shape (articles, 1, length).
        """
        rate = self._dropout
        if not training or not dropped_levels(rate) or return_attention_scores or options:
            return super()._compute_attention(
                query, key, value, attention_mask, training, return_attention_scores, **options
            )
        import tensorflow as tf

        queries, keys, values = (tf.transpose(tensor, [0, 2, 1, 3]) for tensor in (query, key, value))
        queries = queries * tf.cast(self._inverse_sqrt_key_dim, query.dtype)
        values = values * tf.cast(kept_scale(rate), value.dtype)
        shape = tf.concat([tf.shape(queries)[:-1], tf.shape(keys)[2:3]], axis=0)
        keep = kept(shape, rate, self._dropout_layer.seed_generator.next())
        bias = tf.where(tf.cast(attention_mask, tf.bool), 0.0, MASKED)
        return tf.transpose(_attention()(queries, keys, values, bias, keep), [0, 2, 1, 3]), None


def replace_attention(model: Any) -> None:
    """Replace the attention of all layers but the last, which has a single query."""
    for layer in model.backbone.transformer_layers[:-1]:
        layer._self_attention_layer.__class__ = ExplicitGradientAttention  # noqa: SLF001


@cache
def _attention() -> Any:
    import tensorflow as tf

    drop, score_gradient = (tf.function(function, jit_compile=True) for function in (_drop, _score_gradient))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def attention(queries: Any, keys: Any, values: Any, bias: Any, keep: Any) -> Any:
        weights = tf.nn.softmax(_scores(queries, keys, bias))
        dropped = drop(weights, keep)
        output = tf.matmul(dropped, values)

        def gradients(gradient: Any) -> Any:
            products = tf.cast(gradient, tf.float32) * tf.cast(output, tf.float32)
            mean = tf.reduce_sum(products, axis=-1, keepdims=True)
            scores = score_gradient(weights, keep, tf.matmul(gradient, values, transpose_b=True), mean)
            query_gradient, key_gradient = tf.matmul(scores, keys), tf.matmul(scores, queries, transpose_a=True)
            return query_gradient, key_gradient, tf.matmul(dropped, gradient, transpose_a=True), None, None

        return output, gradients

    return attention


def _drop(weights: Any, keep: Any) -> Any:
    import tensorflow as tf

    return tf.where(keep, weights, tf.zeros((), weights.dtype))


def _score_gradient(weights: Any, keep: Any, gradient: Any, mean: Any) -> Any:
    """Return the gradient of the scores from that of the dropped weights; `mean` is its weighted mean in each row."""
    import tensorflow as tf

    gradient = tf.where(keep, tf.cast(gradient, tf.float32), 0.0)
    return tf.cast(tf.cast(weights, tf.float32) * (gradient - mean), weights.dtype)


def _scores(queries: Any, keys: Any, bias: Any) -> Any:
    """Return the products of queries and keys, plus each key's bias, shape (articles, 1, length).

    The bias is a further feature of the keys, and the queries have a 1 there. One more feature costs less than an
    addition to all scores.
    """
    import tensorflow as tf

    ones = tf.ones_like(queries[..., :1])
    biases = tf.broadcast_to(tf.cast(bias, keys.dtype)[..., None], tf.shape(keys[..., :1]))
    return tf.matmul(tf.concat([queries, ones], axis=-1), tf.concat([keys, biases], axis=-1), transpose_b=True)
