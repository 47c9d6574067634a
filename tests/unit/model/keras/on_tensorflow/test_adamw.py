"""AdamW of one kernel a variable takes the steps of Keras' AdamW."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model.keras import backend

pytestmark = pytest.mark.skipif(not backend.is_tensorflow_on_cpu(), reason="it is made for TensorFlow on a CPU")

SHAPES = {"kernel": (4, 3), "bias": (3,)}
RATES = {"kernel": 0.5, "bias": 1.0}


@pytest.fixture(scope="module")
def kinds():
    from classifier.model.keras import optimizers
    from classifier.model.keras.on_tensorflow.adamw import fused_adamw

    return {"fused": fused_adamw, "keras": optimizers.layerwise_adamw}


@pytest.fixture
def stepped(kinds):
    """Take steps with gradients drawn at a scale; return the variables after each, and the optimizer's own."""
    import keras

    def step(kind, *, scale=1.0, count=6, rates=RATES, gradients=None, **options):
        variables = [
            keras.Variable(np.random.default_rng(2).normal(size=shape).astype(np.float32), name=name)
            for name, shape in SHAPES.items()
        ]
        schedule = keras.optimizers.schedules.PolynomialDecay(0.1, count)
        optimizer = kinds[kind](rates)(learning_rate=schedule, weight_decay=0.3, global_clipnorm=1.0, **options)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build(variables)
        random, history = np.random.default_rng(3), []
        for _ in range(count):
            drawn = [random.normal(size=shape).astype(np.float32) * scale for shape in SHAPES.values()]
            optimizer.apply(gradients(drawn) if gradients else drawn, variables)
            history.append([variable.numpy() for variable in variables])
        return history, [variable.numpy() for variable in optimizer.variables]

    return step


def the_same(result, expected):
    for variable, other in zip(result, expected, strict=True):
        np.testing.assert_allclose(variable, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 10.0], ids=["short gradients", "gradients that are clipped"])
@pytest.mark.parametrize("rates", [RATES, dict.fromkeys(RATES, 1.0)], ids=["rates of its own", "one rate"])
def test_every_step_is_that_of_keras(stepped, scale, rates):
    result, expected = (stepped(kind, scale=scale, rates=rates) for kind in ("fused", "keras"))
    for ours, keras in zip(result[0], expected[0], strict=True):
        the_same(ours, keras)
    the_same(result[1], expected[1])


def test_a_step_of_several_accumulated_calls_is_that_of_keras(stepped):
    result, expected = (stepped(kind, gradient_accumulation_steps=3) for kind in ("fused", "keras"))
    the_same(result[0][-1], expected[0][-1])
    np.testing.assert_array_equal(result[0][1][0], result[0][0][0])  # two calls of three: no step yet
    assert (result[0][2][0] != result[0][1][0]).any()


def test_the_average_of_the_weights_is_that_of_keras(stepped):
    result, expected = (stepped(kind, use_ema=True, ema_momentum=0.8) for kind in ("fused", "keras"))
    assert len(result[1]) > len(stepped("fused")[1])
    the_same(result[1], expected[1])


def test_rows_of_a_word_that_occurs_twice_are_one_gradient(stepped):
    """As long as their sum: two rows that cancel out must not count in the norm that is clipped."""
    import tensorflow as tf

    def in_rows(drawn):
        kernel, bias = drawn
        rows = tf.concat([kernel + 100.0, np.full_like(kernel, -100.0)], axis=0)
        return [tf.IndexedSlices(rows, tf.constant([0, 1, 2, 3] * 2), tf.constant(kernel.shape)), bias]

    for result, expected in zip(stepped("fused", gradients=in_rows)[0], stepped("fused")[0], strict=True):
        np.testing.assert_allclose(result[0], expected[0], atol=1e-3)
