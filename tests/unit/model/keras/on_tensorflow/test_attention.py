"""Attention whose derivative is written out is Keras' attention: same weights, same masks, same dropout."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model.keras import backend

pytestmark = pytest.mark.skipif(not backend.is_tensorflow_on_cpu(), reason="it is made for TensorFlow on a CPU")

ARTICLES, LENGTH, WIDTH = 3, 24, 16


@pytest.fixture(scope="module")
def layers():
    """Return a function that gives Keras' layer with dropout of bytes, and ours, with the same weights and seed."""
    from classifier.model.keras import network  # noqa: F401  # chooses the backend

    import keras  # isort: skip

    from classifier.model.keras.on_tensorflow.attention import ExplicitGradientAttention
    from classifier.model.keras.on_tensorflow.byte_dropout import ByteDropout

    def pair(dtype="float32", rate=0.1):
        result = []
        for kind in (keras.layers.MultiHeadAttention, ExplicitGradientAttention):
            layer = keras.layers.MultiHeadAttention(2, WIDTH // 2, dropout=rate, seed=5, dtype=dtype)
            layer.build((None, LENGTH, WIDTH), (None, LENGTH, WIDTH))
            layer.set_weights([
                np.random.default_rng(row).normal(size=weight.shape) / 2 for row, weight in enumerate(layer.weights)
            ])
            layer._dropout_layer.__class__ = ByteDropout
            layer.__class__ = kind
            result.append(layer)
        return result

    return pair


@pytest.fixture
def called(layers):
    """Call both layers on the same states; return outputs and gradients of each, as float32."""
    import tensorflow as tf

    def call(dtype="float32", rate=0.1, training=True):
        random = np.random.default_rng(1)
        states = tf.cast(
            random.normal(size=(ARTICLES, LENGTH, WIDTH)).astype(np.float32), layers(dtype)[0].compute_dtype
        )
        mask = np.ones((ARTICLES, 1, LENGTH), dtype=np.int32)
        mask[1, :, 15:] = 0
        mask[2, :, 1:] = 0
        target = random.normal(size=(ARTICLES, LENGTH, WIDTH)).astype(np.float32)
        result = []
        for layer in layers(dtype, rate):
            with tf.GradientTape() as tape:
                tape.watch(states)
                output = layer(states, states, attention_mask=tf.constant(mask), training=training)
            gradients = tape.gradient(output, [states, *layer.trainable_variables], tf.cast(target, output.dtype))
            result.append([tf.cast(tensor, tf.float32).numpy() for tensor in (output, *gradients)])
        return result

    return call


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_output_and_gradients_are_those_of_keras(called, rate):
    theirs, ours = called(rate=rate)
    for expected, result in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)


def test_in_bfloat16_they_differ_by_rounding(called):
    exact, _ = called()
    theirs, ours = called("mixed_bfloat16")
    for expected, rounded, result in zip(exact, theirs, ours, strict=True):
        assert np.abs(result - expected).max() < 1.5 * np.abs(rounded - expected).max() + 0.01


@pytest.mark.parametrize(("rate", "training"), [(0.1, False), (0.0, True)])
def test_where_nothing_is_dropped_it_is_keras_to_the_bit(called, rate, training):
    theirs, ours = called(rate=rate, training=training)
    for expected, result in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(result, expected)


def test_scores_are_returned_to_who_asks(layers):
    _, ours = layers()
    states = np.random.default_rng(0).normal(size=(ARTICLES, LENGTH, WIDTH)).astype(np.float32)
    _, scores = ours(states, states, return_attention_scores=True, training=True)
    assert scores.shape == (ARTICLES, 2, LENGTH, LENGTH)


def test_what_is_padding_has_no_weight_and_gets_no_gradient(layers):
    import tensorflow as tf

    _, ours = layers()
    states = tf.Variable(np.random.default_rng(0).normal(size=(1, LENGTH, WIDTH)).astype(np.float32))
    mask = np.zeros((1, 1, LENGTH), dtype=np.int32)
    mask[..., :5] = 1
    with tf.GradientTape() as tape:
        first = ours(states, states, attention_mask=mask, training=True)[0, 0]
    gradient = tape.gradient(first, states).numpy()[0]
    assert np.abs(gradient[:5]).min() > 0
    assert not gradient[5:].any()


def test_every_attention_of_all_tokens_is_written_out():
    from classifier.model.checkpoint import EncoderShape
    from classifier.model.keras.network import Network
    from classifier.model.keras.on_tensorflow.attention import ExplicitGradientAttention

    network = Network(EncoderShape(17, 3, 2, 8, 16, 16), 3)
    layers = [layer._self_attention_layer for layer in network._model.backbone.transformer_layers]
    assert [isinstance(layer, ExplicitGradientAttention) for layer in layers] == [True, True, False]
