"""A check raises an alarm only if a difference is large and beyond chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifier.evaluation import drift, drift_checks
from classifier.evaluation.drift_checks import AuditedLabels, DriftLimits, LabelledArticles

LIMITS = DriftLimits(drift=0.2, accuracy=0.03, min_articles=100)


def articles(count, *, seed=0, a=0.5, beta=(30, 1), words=200):
    """Draw articles of two categories; `beta` are the parameters of the beta distribution of confidence."""
    generator = np.random.default_rng(seed)
    return LabelledArticles(
        np.where(generator.random(count) < a, "a", "b"),
        generator.beta(*beta, count),
        generator.poisson(words, count),
    )


def audited(count, *, confidence, accuracy):
    return AuditedLabels(np.full(count, confidence), np.arange(count) < round(accuracy * count))


def outcomes(now, reviewed=None, then=None):
    checks = drift_checks.run_checks(
        then or articles(1000), 0.97, now, reviewed or audited(0, confidence=0, accuracy=0), LIMITS
    )
    return {check.name: check.outcome for check in checks}


def test_articles_like_the_test_articles_give_no_alarm():
    """Sixty days: each check may be wrong one time in a hundred, and also has a limit."""
    for seed in range(1, 61):
        assert "alarm" not in outcomes(articles(300, seed=seed)).values()


@pytest.mark.parametrize(
    ("now", "alarms"),
    [
        ({"a": 0.8}, {"category mix"}),
        ({"words": 300}, {"length"}),
        ({"beta": (8, 1)}, {"confidence", "estimated accuracy"}),
    ],
)
def test_each_change_gives_the_alarm_that_names_it(now, alarms):
    assert {name for name, outcome in outcomes(articles(1000, seed=1, **now)).items() if outcome == "alarm"} == alarms


def test_a_difference_within_the_limit_gives_no_alarm_however_significant_it_is():
    assert outcomes(articles(100_000, seed=1, a=0.55))["category mix"] == "fine"


def test_a_loss_that_may_be_chance_gives_no_alarm():
    """A loss of four points: half of the articles have confidence 1; with 100 articles, this share varies by five."""

    def by_halves(count, share):
        return replace(articles(count), confidence=np.where(np.arange(count) < share * count, 1.0, 0.2))

    few = drift_checks.check_estimated_accuracy(by_halves(200, 0.5), 0.6, by_halves(100, 0.45), LIMITS)
    many = drift_checks.check_estimated_accuracy(by_halves(10_000, 0.5), 0.6, by_halves(5_000, 0.45), LIMITS)
    assert (few.figures["estimate"], many.figures["estimate"]) == (pytest.approx(0.56), pytest.approx(0.56))
    assert (few.outcome, many.outcome) == ("fine", "alarm")


def test_a_new_category_counts():
    now = articles(1000, seed=1)
    predicted = np.where(np.arange(1000) < 300, "new", now.predicted)
    check = drift_checks.check_category_mix(articles(1000), replace(now, predicted=predicted), LIMITS)
    assert check.outcome == "alarm"
    assert "new 0.0% then and 30.0% now" in check.message


def test_few_articles_are_not_judged():
    by_name = outcomes(articles(99))
    assert set(by_name.values()) == {"not judged"}


@pytest.mark.parametrize(
    ("labels", "outcome"),
    [
        ({"count": 29, "confidence": 0.9, "accuracy": 0.1}, "not judged"),
        ({"count": 400, "confidence": 0.95, "accuracy": 0.95}, "fine"),
        ({"count": 400, "confidence": 0.6, "accuracy": 0.6}, "fine"),
        ({"count": 40, "confidence": 0.95, "accuracy": 0.9}, "fine"),
        ({"count": 400, "confidence": 0.95, "accuracy": 0.85}, "alarm"),
        ({"count": 100, "confidence": 1.0, "accuracy": 0.9}, "alarm"),
    ],
)
def test_confidence_is_checked_against_labels_that_were_reviewed_afterwards(labels, outcome):
    assert outcomes(articles(200), audited(**labels))["audit"] == outcome


@pytest.mark.parametrize(("count", "confidence"), [(30, 0.997), (60, 0.999), (30, 0.99), (100, 0.9995)])
def test_the_audit_gives_a_false_alarm_one_time_in_a_hundred_at_most_if_few_mistakes_are_expected(count, confidence):
    """The exact probability: over every number of mistakes."""
    from scipy.stats import binom

    alarms = [
        wrong
        for wrong in range(count + 1)
        if drift_checks.check_audit(
            AuditedLabels(np.full(count, confidence), np.arange(count) >= wrong), LIMITS
        ).outcome
        == "alarm"
    ]
    assert alarms, "too many mistakes give an alarm"
    assert binom.pmf(alarms, count, 1 - confidence).sum() <= 0.01


@pytest.mark.parametrize("categories", [100, 1000])
@pytest.mark.parametrize(("then", "now"), [(500, 200), (500, 5000), (5000, 200)])
def test_many_categories_alone_give_no_alarm(categories, then, now):
    shares = 1 / np.arange(1, categories + 1)
    names = np.array([f"c{number}" for number in range(categories)])
    for seed in range(4):
        generator = np.random.default_rng(seed)
        first, second = (
            replace(articles(size), predicted=generator.choice(names, size, p=shares / shares.sum()))
            for size in (then, now)
        )
        assert drift_checks.check_category_mix(first, second, LIMITS).outcome == "fine"


def test_a_real_shift_among_many_categories_gives_one():
    """Half of the articles come from the ten rarest of 300 categories."""
    generator = np.random.default_rng(0)
    names = np.array([f"c{number}" for number in range(300)])
    then = generator.choice(names, 500)
    now = np.where(generator.random(500) < 0.5, generator.choice(names[:10], 500), generator.choice(names, 500))
    check = drift_checks.check_category_mix(
        replace(articles(500), predicted=then), replace(articles(500), predicted=now), LIMITS
    )
    assert check.outcome == "alarm"
    assert check.figures["distance"] < check.figures["measured"], "chance is part of what was measured"
    assert 0 < check.figures["by_chance"] < check.figures["measured"]


def test_confidence_that_is_skewed_gives_a_false_alarm_one_time_in_a_hundred_at_most():
    """One article in thirty has a low confidence: by chance few of fifty test articles, and more of the next ones."""
    alarms = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        then, now = (
            replace(articles(size), confidence=np.where(generator.random(size) < 1 / 30, 0.1, 1.0))
            for size in (50, 200)
        )
        alarms += drift_checks.check_estimated_accuracy(then, 0.97, now, LIMITS).outcome == "alarm"
    assert alarms <= 2


def test_the_estimate_is_the_test_accuracy_less_what_confidence_lost():
    then, now = articles(1000), articles(1000, seed=1, beta=(8, 1))
    check = drift_checks.check_estimated_accuracy(then, 0.97, now, LIMITS)
    lost = then.confidence.mean() - now.confidence.mean()
    assert check.figures["estimate"] == pytest.approx(0.97 - lost)


def test_the_estimate_follows_the_accuracy_if_confidence_is_calibrated():
    generator = np.random.default_rng(0)
    then, now = articles(5000), articles(5000, seed=1, beta=(6, 2))
    accuracy = float((generator.random(5000) < then.confidence).mean())
    truth = float((generator.random(5000) < now.confidence).mean())
    assert drift_checks.check_estimated_accuracy(then, accuracy, now, LIMITS).figures["estimate"] == pytest.approx(
        truth, abs=0.02
    )


class TestDrift:
    def test_the_distance_is_0_for_the_same_shares_and_1_if_no_kind_is_in_both(self):
        assert drift.compare_counts(np.array([30, 10]), np.array([300, 100])).distance == pytest.approx(0, abs=1e-7)
        distance = drift.compare_counts(np.array([30, 0]), np.array([0, 30]))
        assert (distance.distance, distance.p) == (pytest.approx(1), 1 / (drift.PERMUTATIONS + 1))

    def test_a_single_kind_is_no_difference(self):
        assert drift.compare_counts(np.array([30, 0]), np.array([7, 0])) == drift.Drift(0.0, 0.0, 1.0)

    def test_the_same_counts_give_the_same_result(self):
        then, now = np.array([30, 10, 5]), np.array([20, 20, 3])
        assert drift.compare_counts(then, now) == drift.compare_counts(then, now)

    def test_the_distance_by_chance_is_that_of_samples_of_one_distribution(self):
        generator = np.random.default_rng(0)
        shares = np.full(300, 1 / 300)
        distances = [
            drift.compare_counts(*(generator.multinomial(size, shares) for size in (500, 400))) for _ in range(30)
        ]
        measured = np.sqrt(np.mean([distance.distance**2 for distance in distances]))
        assert np.mean([distance.by_chance for distance in distances]) == pytest.approx(measured, rel=0.02)
        assert measured > 0.3
        assert np.mean([distance.beyond_chance for distance in distances]) < 0.1

    def test_numbers_are_counted_in_ranges_with_equally_many_test_articles(self):
        then, now = drift.count_ranges(np.arange(1000), np.array([-5, 5000, 450]))
        assert then.tolist() == [100] * 10
        assert now.tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 0, 1]

    def test_equal_numbers_make_few_ranges(self):
        then, now = drift.count_ranges(np.ones(50), np.array([1.0, 1.0, 2.0]))
        assert (then.sum(), now.sum()) == (50, 3)

    def test_it_is_near_a_population_stability_index(self):
        then, now = np.array([500, 300, 200]), np.array([400, 320, 280])
        shares = then / then.sum(), now / now.sum()
        psi = ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()
        assert 8 * np.log(2) * drift.compare_counts(then, now).distance ** 2 == pytest.approx(psi, rel=0.02)
