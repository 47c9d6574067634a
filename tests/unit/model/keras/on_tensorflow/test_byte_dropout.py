"""Dropout of random bytes drops what it says, keeps the mean, and is decided by its seed."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def dropped():
    """Drop units at a rate; return the outputs and the gradient of their sum."""
    from classifier.model.keras import network  # noqa: F401  # chooses the backend

    import tensorflow as tf  # isort: skip

    from classifier.model.keras.on_tensorflow.byte_dropout import ByteDropout  # isort: skip

    def drop(rate, *, calls=1, dtype="float32", training=True):
        layer = ByteDropout(rate, seed=7, dtype=dtype)
        inputs = tf.Variable(tf.fill((101, 1003), tf.cast(2.0, dtype)))
        for _ in range(calls):
            with tf.GradientTape() as tape:
                outputs = layer(inputs, training=training)
        return outputs.numpy().astype(np.float32), tape.gradient(outputs, inputs).numpy().astype(np.float32)

    return drop


@pytest.mark.parametrize(("rate", "share"), [(0.1, 26 / 256), (0.2, 51 / 256), (0.5, 0.5)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_share_is_dropped_and_the_mean_stays(dropped, rate, share, dtype):
    outputs, gradient = dropped(rate, dtype=dtype)
    assert abs((outputs == 0).mean() - share) < 0.005
    assert abs(outputs.mean() - 2.0) < 0.02
    kept = np.float32(1 / (1 - share))
    np.testing.assert_allclose(gradient, np.where(outputs == 0, 0, kept), rtol=0.004)


def test_a_seed_gives_the_same_bytes_and_each_call_others(dropped):
    np.testing.assert_array_equal(dropped(0.1)[0], dropped(0.1)[0])
    first, second = dropped(0.1)[0] == 0, dropped(0.1, calls=2)[0] == 0
    assert abs((first & second).mean() - (26 / 256) ** 2) < 0.002, "as if they knew nothing of each other"


def test_rows_and_columns_are_not_alike(dropped):
    zero = dropped(0.1)[0] == 0
    assert zero.mean(axis=0).max() < 0.3
    assert abs((zero[1:] & zero[:-1]).mean() - (26 / 256) ** 2) < 0.002


@pytest.mark.parametrize(("rate", "training"), [(0.1, False), (0.0, True), (0.001, False)])
def test_nothing_is_dropped_where_nothing_should_be(dropped, rate, training):
    assert (dropped(rate, training=training)[0] == 2.0).all()


def test_every_dropout_of_a_network_draws_bytes():
    from classifier.model.checkpoint import EncoderShape
    from classifier.model.keras.network import Network

    network = Network(EncoderShape(17, 2, 2, 8, 16, 16), 3)
    names = [type(layer).__name__ for layer in network._model._flatten_layers() if "Dropout" in type(layer).__name__]
    assert names == ["ByteDropout"] * 8, (
        "two layers with three each (one drops nothing), the embeddings' and the head's"
    )
