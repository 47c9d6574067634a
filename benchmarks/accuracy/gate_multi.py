"""Measure how often the gate promotes a worse, equal or better model of a multi-label task.

Two synthetic models have a known difference in F1, the same in every category, so that macro- and micro-F1 differ by
it too. Test sets are drawn many times, and each time the gate decides, by macro-F1 and by micro-F1. The naive rule is
"new >= old". A tenth of the clusters are three near-duplicates, for which each model predicts the same. An article has
one label, and in 15 % of cases two. Half of the articles are easy: all mistakes are in the other half.

    python -m benchmarks.accuracy.gate_multi --out benchmarks/results/gate-multi.json
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.support import common
from classifier.evaluation import comparison, gate, gate_rules
from classifier.evaluation.label_set_rules import LabelSetComparison
from classifier.evaluation.label_sets import LabelSetArticles, LabelSetPredictions
from classifier.evaluation.margins import Margins, Metric

POINTS = (-2.0, -1.0, 0.0, 1.0)
SIZES = (1000, 3000)
SHARES = {
    "even": np.full(10, 0.1),
    "like R90": 1 / np.arange(1, 91) ** 1.3 / (1 / np.arange(1, 91) ** 1.3).sum(),  # from 35 % to 0.1 % of the articles
}
ONLY_CANDIDATE = 0.03
"""Share of a category's labels that only the candidate predicts correctly."""
SECOND_LABEL = 0.15
MARGIN_TRIALS = 8
"""How many times more test sets are drawn where the candidate is worse by the margin: the rate there must hold."""

METRICS: tuple[Metric, ...] = ("macro_f1", "micro_f1")


@dataclass(frozen=True)
class Errors:
    """Shares of each category's labels that both models miss, and that only one of them does.

    Each model has as many wrong labels of a category as it misses, so its F1 is 1 less the share that it misses.
    """

    both: np.ndarray
    only_champion: float
    only_candidate: float


def errors(shares: np.ndarray, points: float) -> Errors:
    """Return the errors with which the candidate is better by `points`; both models miss more of a rare category."""
    both = 0.02 + 0.3 * (1 - np.sqrt(shares / shares.max())) if np.ptp(shares) else np.full(len(shares), 0.05)
    return Errors(both, ONLY_CANDIDATE, ONLY_CANDIDATE - points / 100)


def draw_comparison(
    shares: np.ndarray, drawn: Errors, articles: int, generator: np.random.Generator
) -> LabelSetComparison:
    """Draw a test set with both models' predictions; each assigned label has a probability of 0.9."""
    size = generator.choice([1, 3], p=[0.9, 0.1], size=articles)
    size = size[: np.searchsorted(np.cumsum(size), articles) + 1]
    rows = np.repeat(np.arange(len(size)), size)[:articles]
    truth = _draw_labels(shares, len(size), generator)
    champion, candidate = _draw_predictions(shares, drawn, truth, generator)
    names = tuple(f"c{number:02d}" for number in range(len(shares)))
    sample = LabelSetArticles(
        ids=np.arange(articles),
        categories=names,
        truth=truth[rows],
        clusters=rows,
        sources=np.full(articles, "synthetic"),
        words=np.full(articles, 200),
        months=np.full(articles, ""),
    )
    models = [
        LabelSetPredictions(names, np.where(labels, np.float32(0.9), np.float32(0.01))[rows], labels[rows])
        for labels in (candidate, champion)
    ]
    return LabelSetComparison(sample, models[0], models[1], models[1].predicted)


def _draw_labels(shares: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    truth = np.zeros((count, len(shares)), dtype=bool)
    first, second = (generator.choice(len(shares), p=shares, size=count) for _ in range(2))
    truth[np.arange(count), first] = True
    two = generator.random(count) < SECOND_LABEL
    truth[two, second[two]] = True  # the same category twice is one label
    return truth


def _draw_predictions(
    shares: np.ndarray, drawn: Errors, truth: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of the champion and the candidate."""
    prevalence = shares + SECOND_LABEL * shares * (1 - shares)
    # as many wrong labels as missed ones
    scale = np.where(truth, 1.0, prevalence / (1 - prevalence)) * 2 * (generator.random((len(truth), 1)) < 0.5)
    uniform = generator.random(truth.shape)
    ends = np.cumsum(
        [drawn.both * scale, drawn.only_candidate * scale, drawn.only_champion * scale], axis=0
    )  # the second kind of mistake is the candidate's, the third the champion's
    both, candidate, champion = uniform < ends[0], uniform < ends[1], uniform < ends[2]
    return truth ^ (both | (champion & ~candidate)), truth ^ candidate


def simulate(shares: np.ndarray, points: float, articles: int, trials: int) -> dict[str, Any]:
    """Return how often each metric's gate promotes, and how often the naive rule on macro-F1 does."""
    drawn = errors(shares, points)
    generator = np.random.default_rng([articles, int(points * 10) + 1000, len(shares)])
    margins = Margins(resamples=1_000)
    promoted, passed, more = (dict.fromkeys(METRICS, 0) for _ in range(3))
    naive = 0
    for _ in range(trials):
        compared = draw_comparison(shares, drawn, articles, generator)
        sample, champion = compared.test_articles, compared.champion
        assert champion is not None
        labels = [compared.candidate.predicted, champion.predicted, champion.predicted]
        scores = comparison.compare_label_sets(sample, labels, resamples=margins.resamples)
        macro, micro = (
            difference(gate_rules.CANDIDATE, gate_rules.CHAMPION) for difference in (scores.macro_f1, scores.micro_f1)
        )
        naive += macro.value >= 0
        for metric, difference in zip(METRICS, (macro, micro), strict=True):
            result = gate_rules.check_f1(difference, len(sample), margins)
            passed[metric] += result.outcome == "pass"
            more[metric] += result.outcome == "unsure"
            # the other rules only stop a candidate
            if result.outcome == "pass":
                promoted[metric] += gate.apply_rules(compared, replace(margins, metric=metric)).verdict == "promote"
    return {
        "true_difference_points": points,
        "test_articles": articles,
        "trials": trials,
        "promoted": {metric: count / trials for metric, count in promoted.items()},
        "metric_passed": {metric: count / trials for metric, count in passed.items()},
        "more_annotations": {metric: count / trials for metric, count in more.items()},
        "naive_promoted": naive / trials,
    }


def main() -> None:
    """Simulate, print a table and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--trials", type=int, default=100, help="test sets for each row")
    options = parser.parse_args()
    trials, sizes = (4, SIZES[:1]) if options.quick else (options.trials, SIZES)
    margin_points = 100 * Margins().macro_f1
    started, runs = time.perf_counter(), []
    print(f"{'promoted:':22}{'articles':>9}{'true':>7}{'naive':>8}{'macro-F1':>10}{'micro-F1':>10}")
    for name, shares in SHARES.items():
        for articles in sizes:
            for points in POINTS:
                count = trials * MARGIN_TRIALS if points == -margin_points else trials
                run = {"dataset": f"synthetic, {name}", **simulate(shares, points, articles, count)}
                runs.append(run)
                macro, micro = (run["promoted"][metric] for metric in METRICS)
                print(
                    f"{run['dataset']:22}{articles:9,}{points:+7.1f}{run['naive_promoted']:8.3f}{macro:10.3f}{micro:10.3f}",
                    flush=True,
                )
    settings = {"trials": trials, "margin_points": margin_points, "alpha": Margins().alpha}
    settings["seconds"] = round(time.perf_counter() - started)
    common.report(runs, options.out, settings=settings)


if __name__ == "__main__":
    main()
