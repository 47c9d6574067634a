"""A temperature makes a model as sure as it is right, and changes no label."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model import temperature_scaling


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def made_up(articles=4000, categories=5, *, too_sure=2.0, seed=0):
    """Return probabilities of a model whose logits are `too_sure` times what they should be, and the truth."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (articles, categories))
    truth = np.array([generator.choice(categories, p=row) for row in softmax(logits)])
    return softmax(too_sure * logits).astype(np.float32), truth


@pytest.mark.parametrize("too_sure", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(too_sure):
    assert temperature_scaling.fit_temperature(*made_up(too_sure=too_sure)) == pytest.approx(too_sure, rel=0.05)


def test_no_other_temperature_makes_the_truth_likelier():
    probabilities, truth = made_up(600)
    fitted = temperature_scaling.fit_temperature(probabilities, truth)
    losses = [
        temperature_scaling.negative_log_likelihood(probabilities, truth, fitted * factor, imagined=1)
        for factor in (0.97, 1, 1.03)
    ]
    assert losses[1] == min(losses)


def test_applied_it_is_the_softmax_of_the_logits_divided_by_it():
    logits = np.random.default_rng(0).normal(0, 4, (50, 7))
    found = temperature_scaling.apply_temperature(softmax(logits).astype(np.float32), 1.7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, softmax(logits / 1.7), rtol=0, atol=1e-6)


def test_labels_stay_and_what_is_impossible_stays_so():
    probabilities, _ = made_up(200)
    found = temperature_scaling.apply_temperature(probabilities, 2.5)
    np.testing.assert_array_equal(found.argmax(axis=1), probabilities.argmax(axis=1))
    certain = temperature_scaling.apply_temperature(np.array([[0.0, 1.0], [0.25, 0.75]], dtype=np.float32), 2.0)
    np.testing.assert_array_equal(certain[0], [0, 1])
    assert certain[1, 0] > 0.25


def test_at_one_nothing_changes():
    probabilities, _ = made_up(10)
    assert temperature_scaling.apply_temperature(probabilities, 1.0) is probabilities


@pytest.mark.parametrize("categories", [2, 8, 23])
def test_a_rows_bits_do_not_depend_on_its_neighbours(categories):
    probabilities, _ = made_up(300, categories)
    together = temperature_scaling.apply_temperature(probabilities, 1.3)
    for size in (1, 7, 64):
        parts = [
            temperature_scaling.apply_temperature(probabilities[start : start + size], 1.3)
            for start in range(0, 300, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_a_model_that_has_all_of_a_few_articles_right_is_not_made_certain():
    right = np.tile(np.array([[0.9, 0.1], [0.1, 0.9]], dtype=np.float32), (50, 1))
    truth = np.tile([0, 1], 50)
    found = temperature_scaling.apply_temperature(right, temperature_scaling.fit_temperature(right, truth))
    assert 0.97 < found.max() < 0.999


def test_too_few_articles_leave_it_at_one():
    probabilities, truth = made_up(temperature_scaling.MIN_ARTICLES - 1)
    assert temperature_scaling.fit_temperature(probabilities, truth) == 1.0
