"""A temperature makes a model's confidence equal its accuracy, and changes no label."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model import temperature_scaling
from classifier.model.sigmoid import sigmoid


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def synthetic(articles=4000, categories=5, *, overconfidence=2.0, seed=0):
    """Return probabilities of a model whose logits are `overconfidence` times what they should be, and the truth."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (articles, categories))
    truth = np.array([generator.choice(categories, p=row) for row in softmax(logits)])
    return softmax(overconfidence * logits).astype(np.float32), truth


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_simulated_is_fitted(overconfidence):
    assert temperature_scaling.fit_temperature(*synthetic(overconfidence=overconfidence)) == pytest.approx(
        overconfidence, rel=0.05
    )


def test_no_other_temperature_makes_the_truth_likelier():
    probabilities, truth = synthetic(600)
    fitted = temperature_scaling.fit_temperature(probabilities, truth)
    losses = [
        temperature_scaling.negative_log_likelihood(probabilities, truth, fitted * factor, pseudo_articles=1)
        for factor in (0.97, 1, 1.03)
    ]
    assert losses[1] == min(losses)


def test_applied_it_is_the_softmax_of_the_logits_divided_by_it():
    logits = np.random.default_rng(0).normal(0, 4, (50, 7))
    result = temperature_scaling.apply_temperature(softmax(logits).astype(np.float32), 1.7)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, softmax(logits / 1.7), rtol=0, atol=1e-6)


def test_labels_stay_and_what_is_impossible_stays_so():
    probabilities, _ = synthetic(200)
    result = temperature_scaling.apply_temperature(probabilities, 2.5)
    np.testing.assert_array_equal(result.argmax(axis=1), probabilities.argmax(axis=1))
    certain = temperature_scaling.apply_temperature(np.array([[0.0, 1.0], [0.25, 0.75]], dtype=np.float32), 2.0)
    np.testing.assert_array_equal(certain[0], [0, 1])
    assert certain[1, 0] > 0.25


def test_at_one_nothing_changes():
    probabilities, _ = synthetic(10)
    assert temperature_scaling.apply_temperature(probabilities, 1.0) is probabilities


@pytest.mark.parametrize("categories", [2, 8, 23])
def test_a_rows_bits_do_not_depend_on_other_rows(categories):
    probabilities, _ = synthetic(300, categories)
    together = temperature_scaling.apply_temperature(probabilities, 1.3)
    for size in (1, 7, 64):
        parts = [
            temperature_scaling.apply_temperature(probabilities[start : start + size], 1.3)
            for start in range(0, 300, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_a_model_without_an_error_on_a_few_articles_does_not_become_certain():
    probabilities = np.tile(np.array([[0.9, 0.1], [0.1, 0.9]], dtype=np.float32), (50, 1))
    truth = np.tile([0, 1], 50)
    result = temperature_scaling.apply_temperature(
        probabilities, temperature_scaling.fit_temperature(probabilities, truth)
    )
    assert 0.97 < result.max() < 0.999


def test_too_few_articles_leave_it_at_one():
    probabilities, truth = synthetic(temperature_scaling.MIN_ARTICLES - 1)
    assert temperature_scaling.fit_temperature(probabilities, truth) == 1.0


def decisions(articles=2000, categories=6, *, overconfidence=2.0, seed=0):
    """Return a multi-label model's probabilities, whose logits are `overconfidence` times too large, and the truth."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 1.5, (articles, categories))
    truth = generator.random(logits.shape) < sigmoid(logits)
    return sigmoid(overconfidence * logits).astype(np.float32), truth


class TestMultiLabel:
    @pytest.mark.parametrize("overconfidence", [0.5, 1.0, 3.0])
    def test_the_temperature_that_was_simulated_is_fitted(self, overconfidence):
        fitted = temperature_scaling.fit_temperature(*decisions(overconfidence=overconfidence), kind="multi")
        assert fitted == pytest.approx(overconfidence, rel=0.05)

    def test_applied_it_is_the_sigmoid_of_the_logits_divided_by_it(self):
        logits = np.random.default_rng(0).normal(0, 4, (50, 7))
        result = temperature_scaling.apply_temperature(sigmoid(logits).astype(np.float32), 1.7, kind="multi")
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, sigmoid(logits / 1.7), rtol=0, atol=1e-6)

    def test_the_loss_is_that_of_every_decision(self):
        probabilities, truth = decisions(200)
        expected = -np.log(np.where(truth, probabilities, 1 - probabilities.astype(np.float64))).mean()
        actual = temperature_scaling.negative_log_likelihood(probabilities, truth, kind="multi")
        assert actual == pytest.approx(expected, rel=1e-6)

    def test_a_pseudo_article_both_has_and_lacks_each_category(self):
        probabilities, truth = decisions(200)
        options = {"kind": "multi", "temperature": 1.5}
        plain = temperature_scaling.negative_log_likelihood(probabilities, truth, **options)
        halves = [
            temperature_scaling.negative_log_likelihood(probabilities, np.full_like(truth, value), **options)
            for value in (True, False)
        ]
        smoothed = temperature_scaling.negative_log_likelihood(probabilities, truth, pseudo_articles=2, **options)
        assert smoothed == pytest.approx((200 * plain + 2 * np.mean(halves)) / 202)

    def test_certain_errors_have_a_finite_loss(self):
        probabilities = np.array([[0, 1], [1, 0]], dtype=np.float32)
        loss = temperature_scaling.negative_log_likelihood(probabilities, np.eye(2, dtype=bool), kind="multi")
        assert 16 < loss < 88

    @pytest.mark.parametrize("categories", [2, 8, 23])
    def test_a_rows_bits_do_not_depend_on_other_rows(self, categories):
        probabilities, _ = decisions(300, categories)
        together = temperature_scaling.apply_temperature(probabilities, 1.3, kind="multi")
        for size in (1, 7, 64):
            parts = [
                temperature_scaling.apply_temperature(probabilities[start : start + size], 1.3, kind="multi")
                for start in range(0, 300, size)
            ]
            np.testing.assert_array_equal(np.concatenate(parts), together)

    def test_too_few_articles_leave_it_at_one(self):
        few = decisions(temperature_scaling.MIN_ARTICLES - 1)
        assert temperature_scaling.fit_temperature(*few, kind="multi") == 1.0
