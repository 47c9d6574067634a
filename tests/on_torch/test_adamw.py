"""AdamW of one kernel for many variables takes the steps of Keras' AdamW."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from classifier.model.keras import optimizers
from classifier.model.keras.on_torch.adamw import fused_adamw

SHAPES = {"kernel": (4, 3), "bias": (3,)}
RATES = {"kernel": 0.5, "bias": 1.0}
KINDS = (fused_adamw, optimizers.layerwise_adamw)


def stepped(kind, *, scale=1.0, count=6, rates=RATES, **options):
    """Take steps with gradients drawn at a scale; return the variables after each, and the optimizer's own."""
    variables = [
        keras.Variable(np.random.default_rng(2).normal(size=shape).astype(np.float32), name=name)
        for name, shape in SHAPES.items()
    ]
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, count)
    optimizer = kind(rates)(learning_rate=schedule, weight_decay=0.3, global_clipnorm=1.0, epsilon=1e-12, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(variables)
    random, history = np.random.default_rng(3), []
    for _ in range(count):
        drawn = [random.normal(size=shape).astype(np.float32) * scale for shape in SHAPES.values()]
        optimizer.apply([keras.ops.convert_to_tensor(variable) for variable in drawn], variables)
        history.append([variable.numpy() for variable in variables])
    return history, [variable.numpy() for variable in optimizer.variables]


def the_same(result, expected):
    for variable, other in zip(result, expected, strict=True):
        np.testing.assert_allclose(variable, other, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("scale", [1e-3, 10.0], ids=["short gradients", "gradients that are clipped"])
@pytest.mark.parametrize("rates", [RATES, dict.fromkeys(RATES, 1.0)], ids=["rates of its own", "one rate"])
def test_every_step_is_that_of_keras(scale, rates):
    result, expected = (stepped(kind, scale=scale, rates=rates) for kind in KINDS)
    for ours, theirs in zip(result[0], expected[0], strict=True):
        the_same(ours, theirs)
    the_same(result[1], expected[1])


def test_a_step_of_several_accumulated_calls_is_that_of_keras():
    result, expected = (
        stepped(kind, gradient_accumulation_steps=3) for kind in (fused_adamw, optimizers.layerwise_adamw)
    )
    the_same(result[0][-1], expected[0][-1])
    np.testing.assert_array_equal(result[0][1][0], result[0][0][0])  # two calls of three: no step yet
    assert (result[0][2][0] != result[0][1][0]).any()


def test_the_average_of_the_weights_is_that_of_keras():
    result, expected = (
        stepped(kind, use_ema=True, ema_momentum=0.8) for kind in (fused_adamw, optimizers.layerwise_adamw)
    )
    assert len(result[1]) > len(stepped(fused_adamw)[1])
    the_same(result[1], expected[1])
