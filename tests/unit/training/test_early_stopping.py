"""A later epoch is kept unless an earlier one is significantly better; patience counts from the highest score."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.evaluation.metrics import macro_f1
from classifier.training import early_stopping
from classifier.training.training_state import EpochResult


def history(*scores, error=0.02):
    return [EpochResult(number, 0.5, score, score, 1.0, error) for number, score in enumerate(scores, start=1)]


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([], 0),
        ([0.1], 1),
        ([0.5, 0.6, 0.7], 3),
        ([0.9, 0.9], 2),
        ([0.9, 0.868], 2),
        ([0.9, 0.866], 1),
        ([0.9, 0.868, 0.866], 2),
        ([0.9, 0.866, 0.868], 3),
        ([0.5, 0.9, 0.89, 0.8], 3),
    ],
)
def test_the_last_epoch_is_kept_that_is_not_significantly_worse_than_the_best(scores, kept):
    assert early_stopping.best_epoch(history(*scores)) == kept


def test_without_a_standard_error_only_an_equal_epoch_replaces_the_best():
    assert early_stopping.best_epoch(history(0.9, 0.9, 0.899, error=0.0)) == 2


def test_the_standard_error_of_the_best_epoch_decides():
    first, second = history(0.9, error=0.1)[0], EpochResult(2, 0.5, 0.85, 0.85, 1.0, 0.0)
    assert early_stopping.best_epoch([first, second]) == 2


def test_the_epoch_to_keep_was_the_last_one_when_it_was_chosen():
    generator = np.random.default_rng(0)
    for _ in range(200):
        epochs = history(*generator.choice([0.7, 0.8, 0.81, 0.82, 0.9], size=8))
        best = early_stopping.best_epoch(epochs)
        assert early_stopping.best_epoch(epochs[:best]) == best


@pytest.mark.parametrize(
    ("scores", "epochs"), [([], 0), ([0.1], 0), ([0.1, 0.2], 0), ([0.9, 0.9], 1), ([0.9, 0.1, 0.89], 2)]
)
def test_patience_counts_the_epochs_since_the_highest_score(scores, epochs):
    assert early_stopping.epochs_since_best(history(*scores)) == epochs


@pytest.fixture(scope="module")
def many():
    generator = np.random.default_rng(1)
    truth = generator.choice(4, p=[0.6, 0.3, 0.08, 0.02], size=100_000)
    return truth, np.where(generator.random(len(truth)) < 0.9, truth, generator.integers(0, 4, size=len(truth)))


class TestStandardError:
    @pytest.mark.parametrize("articles", [200, 1000])
    def test_it_is_one_to_one_and_a_half_times_the_deviation_of_macro_f1_between_splits(self, many, articles):
        truth, predicted = (np.split(values, len(many[0]) // articles) for values in many)
        deviation = np.std([macro_f1(*split) for split in zip(truth, predicted, strict=True)])
        error = np.mean([early_stopping.standard_error(*split) for split in zip(truth, predicted, strict=True)])
        assert deviation < error < 1.5 * deviation

    def test_a_rare_category_makes_it_larger_than_accuracys(self, many):
        truth, predicted = (values[:500] for values in many)
        share = np.mean(truth == predicted)
        assert early_stopping.standard_error(truth, predicted) > 1.5 * np.sqrt(share * (1 - share) / 500)

    def test_few_articles_that_are_all_correct_are_not_certain(self):
        truth = np.array([0, 1, 2, 2])
        assert early_stopping.standard_error(truth, truth) > 0.2
        assert early_stopping.standard_error(np.tile(truth, 1000), np.tile(truth, 1000)) < 0.001

    def test_a_category_without_hits_counts_and_one_without_articles_does_not(self):
        truth, predicted = np.array([0, 0, 2, 2]), np.array([0, 0, 0, 5])
        assert 0 < early_stopping.standard_error(truth, predicted) < 0.5
