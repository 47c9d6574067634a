"""Attention in training with its derivative written out, for TensorFlow on a CPU.

Of `[articles, heads, length, length]` there are as many numbers as nothing else in the encoder has at 512 word pieces,
and TensorFlow's own derivative goes over them some twenty times. Written out, with the sum over a row of the weights'
gradients taken from the attention's output (Dao et al., 2022, appendix B.2), it takes one pass beside the products.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import keras  # noqa: TID253  # one of the modules that do

from classifier.model.keras.on_tensorflow.byte_dropout import dropped_levels, kept, kept_scale

MASKED = -3e4
"""What is added to a score that does not count: finite in every number format, and its weight is 0."""


class WrittenOutAttention(keras.layers.MultiHeadAttention):  # type: ignore[misc]  # Keras has no types
    """Keras' layer with the same weights, masks and dropout; what training does not need is Keras'."""

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
        """Return the values' mean under the attention's weights, shape (articles, length, heads, features).

        `attention_mask` says which keys count, shape (articles, 1, length).
        """
        rate = self._dropout
        if not training or not dropped_levels(rate) or return_attention_scores or options:
            return super()._compute_attention(
                query, key, value, attention_mask, training, return_attention_scores, **options
            )
        import tensorflow as tf

        queries, keys, values = (tf.transpose(one, [0, 2, 1, 3]) for one in (query, key, value))
        queries = queries * tf.cast(self._inverse_sqrt_key_dim, query.dtype)
        values = values * tf.cast(kept_scale(rate), value.dtype)
        shape = tf.concat([tf.shape(queries)[:-1], tf.shape(keys)[2:3]], axis=0)
        keep = kept(shape, rate, self._dropout_layer.seed_generator.next())
        found = _attention()(queries, keys, values, tf.where(tf.cast(attention_mask, tf.bool), 0.0, MASKED), keep)
        return tf.transpose(found, [0, 2, 1, 3]), None


def use(model: Any) -> None:
    """Let every attention of all tokens to all tokens have its derivative written out; the last layer's is of one."""
    for layer in model.backbone.transformer_layers[:-1]:
        layer._self_attention_layer.__class__ = WrittenOutAttention  # noqa: SLF001


@cache
def _attention() -> Any:
    import tensorflow as tf

    drop, of_scores = (tf.function(one, jit_compile=True) for one in (_drop, _of_scores))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def attention(queries: Any, keys: Any, values: Any, bias: Any, keep: Any) -> Any:
        weights = tf.nn.softmax(_scores(queries, keys, bias))
        dropped = drop(weights, keep)
        found = tf.matmul(dropped, values)

        def gradients(of_found: Any) -> Any:
            both = tf.cast(of_found, tf.float32) * tf.cast(found, tf.float32)
            mean = tf.reduce_sum(both, axis=-1, keepdims=True)
            scores = of_scores(weights, keep, tf.matmul(of_found, values, transpose_b=True), mean)
            of_queries, of_keys = tf.matmul(scores, keys), tf.matmul(scores, queries, transpose_a=True)
            return of_queries, of_keys, tf.matmul(dropped, of_found, transpose_a=True), None, None

        return found, gradients

    return attention


def _drop(weights: Any, keep: Any) -> Any:
    import tensorflow as tf

    return tf.where(keep, weights, tf.zeros((), weights.dtype))


def _of_scores(weights: Any, keep: Any, gradient: Any, mean: Any) -> Any:
    """Return the scores' gradient from that of the dropped weights; `mean` is the weights' mean of it, row by row."""
    import tensorflow as tf

    gradient = tf.where(keep, tf.cast(gradient, tf.float32), 0.0)
    return tf.cast(tf.cast(weights, tf.float32) * (gradient - mean), weights.dtype)


def _scores(queries: Any, keys: Any, bias: Any) -> Any:
    """Return `queries` times `keys` plus a bias of each key, shape (articles, 1, length).

    The bias is one feature more, by which the queries have a 1: a product of 33 features costs less than a sum over
    all scores.
    """
    import tensorflow as tf

    ones = tf.ones_like(queries[..., :1])
    biases = tf.broadcast_to(tf.cast(bias, keys.dtype)[..., None], tf.shape(keys[..., :1]))
    return tf.matmul(tf.concat([queries, ones], axis=-1), tf.concat([keys, biases], axis=-1), transpose_b=True)
