"""Measure how often the gate promotes a worse, equal or better model, compared with the rule "new >= old".

Two synthetic models have a known difference in macro-F1. Test sets of several sizes are drawn many times, and each time
the gate, under either policy, and the naive rule decide. A tenth of the clusters are three near-duplicates, for which
each model makes the same prediction.

    python -m benchmarks.accuracy.gate --out benchmarks/results/gate.json
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.support import common
from classifier.evaluation import gate
from classifier.evaluation.gate_rules import Comparison
from classifier.evaluation.margins import Margins
from classifier.evaluation.metrics import macro_f1
from classifier.evaluation.test_articles import Predictions, TestArticles

POINTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0)
SIZES = (200, 1000, 5000)
SHARES = {
    "even": np.full(5, 0.2),
    "like R8": np.array([1083, 696, 121, 87, 81, 75, 36, 10]) / 2189,  # acq, earn … grain: its test split
}
ONLY_CANDIDATE, BOTH_WRONG = 0.02, 0.02
"""Shares of articles that only the candidate predicts correctly, and that both predict wrongly."""


@dataclass(frozen=True)
class Population:
    """Kinds of articles: their category, both models' predictions and the probability of the kind."""

    truth: np.ndarray
    champion: np.ndarray
    candidate: np.ndarray
    probability: np.ndarray

    def difference(self) -> float:
        """Return the true difference in macro-F1."""
        return self._macro_f1(self.candidate) - self._macro_f1(self.champion)

    def _macro_f1(self, predicted: np.ndarray) -> float:
        size = self.truth.max() + 1
        actual = np.bincount(self.truth, self.probability, size)
        predictions = np.bincount(predicted, self.probability, size)
        hits = np.bincount(self.truth, self.probability * (self.truth == predicted), size)
        return float((2 * hits / (actual + predictions)).mean())


def population(shares: np.ndarray, points: float) -> Population:
    """Return the population in which the candidate is better by `points` of macro-F1."""
    from scipy.optimize import brentq

    only_champion = brentq(lambda share: _population(shares, share).difference() * 100 - points, 0, 0.3)
    return _population(shares, only_champion)


def _population(shares: np.ndarray, only_champion: float) -> Population:
    """Return the population with this share of articles that only the champion predicts correctly.

    A wrong prediction is another category, in proportion to the categories' shares.
    """
    rows = []
    both = 1 - only_champion - ONLY_CANDIDATE - BOTH_WRONG
    for truth, share in enumerate(shares):
        rows.append((truth, truth, truth, share * both))
        for other in np.flatnonzero(np.arange(len(shares)) != truth):
            part = share * shares[other] / (1 - share)
            rows.append((truth, other, other, part * BOTH_WRONG))
            rows.append((truth, truth, other, part * only_champion))
            rows.append((truth, other, truth, part * ONLY_CANDIDATE))
    truth, champion, candidate, probability = zip(*rows, strict=True)
    return Population(np.array(truth), np.array(champion), np.array(candidate), np.array(probability))


def draw_comparison(drawn: Population, articles: int, categories: int, generator: np.random.Generator) -> Comparison:
    """Draw a test set with both models' predictions, all of the same confidence."""
    size = generator.choice([1, 3], p=[0.9, 0.1], size=articles)
    size = size[: np.searchsorted(np.cumsum(size), articles) + 1]
    cells = generator.choice(len(drawn.probability), p=drawn.probability / drawn.probability.sum(), size=len(size))
    rows = np.repeat(cells, size)[:articles]
    names = tuple(f"c{number}" for number in range(categories))
    sample = TestArticles(
        ids=np.arange(articles),
        truth=np.array(names)[drawn.truth[rows]],
        clusters=np.repeat(np.arange(len(size)), size)[:articles],
        sources=np.full(articles, "synthetic"),
        words=np.full(articles, 200),
        months=np.full(articles, ""),
    )
    candidate, champion = (_predictions(names, side[rows]) for side in (drawn.candidate, drawn.champion))
    return Comparison(sample, candidate, champion, champion.predicted)


def _predictions(names: tuple[str, ...], predicted: np.ndarray) -> Predictions:
    probabilities = np.full((len(predicted), len(names)), 0.05 / (len(names) - 1))
    probabilities[np.arange(len(predicted)), predicted] = 0.95
    return Predictions(names, probabilities)


def simulate(shares: np.ndarray, points: float, articles: int, trials: int) -> dict[str, Any]:
    """Return how often each rule promotes, and how often the gate asks for more annotations."""
    drawn = population(shares, points)
    generator = np.random.default_rng([articles, int(points * 10) + 1000])
    margins = Margins(resamples=1_000)
    strict = replace(margins, policy="superior")
    verdicts: list[str] = []
    naive = superior = 0
    for _ in range(trials):
        comparison = draw_comparison(drawn, articles, len(shares), generator)
        assert comparison.champion is not None
        truth = comparison.test_articles.truth
        champion, candidate = comparison.champion.predicted, comparison.candidate.predicted
        naive += macro_f1(truth, candidate) >= macro_f1(truth, champion)
        verdicts.append(gate.apply_rules(comparison, margins).verdict)
        # a model that is not shown to be non-inferior is not shown to be superior either
        superior += verdicts[-1] == "promote" and gate.apply_rules(comparison, strict).verdict == "promote"
    return {
        "true_difference_points": points,
        "test_articles": articles,
        "promoted": {"non-inferior": verdicts.count("promote") / trials, "superior": superior / trials},
        "more_annotations": verdicts.count("need more annotations") / trials,
        "naive_promoted": naive / trials,
    }


def main() -> None:
    """Simulate, print a table and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--trials", type=int, default=200, help="test sets for each row")
    options = parser.parse_args()
    trials, sizes = (4, SIZES[:1]) if options.quick else (options.trials, SIZES)
    started, runs = time.perf_counter(), []
    print(f"{'promoted:':26}{'articles':>9}{'true':>7}{'naive':>8}{'non-inferior':>14}{'superior':>10}")
    for name, shares in SHARES.items():
        for articles in sizes:
            for points in POINTS:
                run = {"dataset": f"synthetic, {name}", **simulate(shares, points, articles, trials)}
                runs.append(run)
                promoted = run["promoted"]
                print(
                    f"{run['dataset']:26}{articles:9,}{points:+7.1f}{run['naive_promoted']:8.3f}"
                    f"{promoted['non-inferior']:14.3f}{promoted['superior']:10.3f}",
                    flush=True,
                )
    settings = {"trials": trials, "margin_points": 100 * Margins().macro_f1, "alpha": Margins().alpha}
    settings["seconds"] = round(time.perf_counter() - started)
    common.report(runs, options.out, settings=settings)


if __name__ == "__main__":
    main()
