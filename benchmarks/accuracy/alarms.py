"""Measure how often the checks of `classifier drift` raise an alarm by chance, and how often after a real change.

The articles are synthetic, so their distribution is known. Each check is compared, on the same articles, with a rule
without an exact test: for the audit the normal approximation (Spiegelhalter, 1986), for the category mix the measured
distance and a chi-squared test.

    python -m benchmarks.accuracy.alarms --out benchmarks/results/alarms.json
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.support import common
from classifier.evaluation import drift, drift_checks
from classifier.evaluation.drift_checks import AuditedLabels, DriftLimits, LabelledArticles

LIMITS = DriftLimits(drift=0.2, accuracy=0.03, min_articles=1)
CATEGORIES = (2, 10, 100, 300, 1_000)
TEST_ARTICLES = (500, 5_000)
NEW_ARTICLES = (100, 500, 5_000)
AUDITS = ((30, 0.997), (30, 0.99), (60, 0.999), (100, 0.95), (500, 0.95))
SHIFTED = 0.5
"""After a change, this share of the new articles is drawn from the rarer half of the categories only."""


def main() -> None:
    """Compute the rates of the audit, simulate the other checks, and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--trials", type=int, default=100, help="samples for each false alarm rate")
    parser.add_argument("--shifts", type=int, default=25, help="samples after a real change")
    options = parser.parse_args()
    trials, shifts = (2, 1) if options.quick else (options.trials, options.shifts)
    runs = list(audits())
    for run in runs:
        rates = f"{run['false_alarms']:7.4f}, normal approximation {run['normal']:7.4f}"
        print(f"audit, {run['articles']:4} at {run['confidence']}: {rates}")
    columns = ("chance", "alarms", "untested", "shift", "untested")
    print(f"{'category mix':>12}{'test':>8}{'new':>8}" + "".join(f"{name:>9}" for name in columns))
    for run in category_mixes(CATEGORIES[::2] if options.quick else CATEGORIES, trials, shifts):
        runs.append(run)
        keys = ("distance_by_chance", "false_alarms", "measured_false_alarms", "power", "measured_power")
        sizes = f"{run['categories']:12,}{run['test_articles']:8,}{run['new_articles']:8,}"
        print(sizes + "".join(f"{run[key]:9.3f}" for key in keys), flush=True)
    for run in other_checks(trials):
        runs.append(run)
        print(
            f"{run['dataset']}, {run['test_articles']} and {run['new_articles']}: {run['false_alarms']:.3f}", flush=True
        )
    settings = {"trials": trials, "shifts": shifts, "alpha": drift_checks.ALPHA, "permutations": drift.PERMUTATIONS}
    common.report(runs, options.out, settings=settings)


def audits() -> Iterator[dict[str, Any]]:
    """Yield the exact probability of a false alarm of the audit: a sum over the numbers of mistakes."""
    from scipy.stats import binom, norm

    for count, confidence in AUDITS:
        wrong = np.arange(count + 1)
        chances = binom.pmf(wrong, count, 1 - confidence)
        alarms = [
            drift_checks.check_audit(
                AuditedLabels(np.full(count, confidence), np.arange(count) >= number), LIMITS
            ).outcome
            == "alarm"
            for number in wrong
        ]
        loss = wrong / count - (1 - confidence)
        normal = norm.sf(loss * np.sqrt(count / (confidence * (1 - confidence)))) <= drift_checks.ALPHA
        yield {
            "dataset": "audit, calibrated confidence",
            "articles": count,
            "confidence": confidence,
            "false_alarms": round(float(chances[np.array(alarms)].sum()), 5),
            "normal": round(float(chances[normal & (loss > LIMITS.accuracy)].sum()), 5),
        }


def category_mixes(sizes: tuple[int, ...], trials: int, shifts: int) -> Iterator[dict[str, Any]]:
    """Yield the rates of alarms without and with a change, for category shares by Zipf's law."""
    from scipy.spatial.distance import jensenshannon

    generator = np.random.default_rng(0)
    for categories in sizes:
        shares = 1 / np.arange(1, categories + 1)
        shares /= shares.sum()
        rare = np.where(np.arange(categories) >= categories // 2, shares, 0)
        shifted = (1 - SHIFTED) * shares + SHIFTED * rare / rare.sum()
        for test in TEST_ARTICLES:
            for new in NEW_ARTICLES:
                same = [draw_alarms(generator, (shares, test), (shares, new)) for _ in range(trials)]
                other = [draw_alarms(generator, (shares, test), (shifted, new)) for _ in range(shifts)]
                rates, powers = np.mean(same, axis=0), np.mean(other, axis=0)
                yield {
                    "dataset": "category mix, Zipf's law",
                    "categories": categories,
                    "test_articles": test,
                    "new_articles": new,
                    "distance_by_chance": round(float(rates[2]), 4),
                    "false_alarms": round(float(rates[0]), 4),
                    "measured_false_alarms": round(float(rates[1]), 4),
                    "distance_of_the_shift": round(float(jensenshannon(shares, shifted, base=2)), 4),
                    "power": round(float(powers[0]), 4),
                    "measured_power": round(float(powers[1]), 4),
                }


def draw_alarms(
    generator: np.random.Generator, test: tuple[np.ndarray, int], new: tuple[np.ndarray, int]
) -> tuple[float, float, float]:
    """Draw two samples; return whether the check and the simpler rule raise an alarm, and the distance."""
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chi2_contingency

    then, now = (generator.multinomial(size, shares) for shares, size in (test, new))
    distance = float(jensenshannon(then, now, base=2))
    if distance <= LIMITS.drift:  # neither raises an alarm, and permutations take time
        return 0.0, 0.0, distance
    shift = drift.compare_counts(then, now)
    p = chi2_contingency(np.vstack([then, now])[:, (then + now) > 0]).pvalue
    alarm = shift.beyond_chance > LIMITS.drift and shift.p <= drift_checks.ALPHA
    return float(alarm), float(p <= drift_checks.ALPHA), distance


def other_checks(trials: int) -> Iterator[dict[str, Any]]:
    """Yield the false alarm rates of the checks of length, confidence and estimated accuracy."""
    generator = np.random.default_rng(1)
    for test, new in ((50, 200), (500, 100), (500, 5_000), (5_000, 200)):
        outcomes = []
        for _ in range(trials):
            then, now = (sample(generator, size) for size in (test, new))
            outcomes.append([
                check.outcome == "alarm"
                for check in (
                    drift_checks.check_length(then, now, LIMITS),
                    drift_checks.check_confidence(then, now, LIMITS),
                    drift_checks.check_estimated_accuracy(then, 0.97, now, LIMITS),
                )
            ])
        for name, rate in zip(("length", "confidence", "estimated accuracy"), np.mean(outcomes, axis=0), strict=True):
            yield {
                "dataset": f"{name}, skewed",
                "test_articles": test,
                "new_articles": new,
                "false_alarms": round(float(rate), 4),
            }


def sample(generator: np.random.Generator, size: int) -> LabelledArticles:
    """Draw articles: long-tailed lengths, and confidence near 1 except for one article in thirty."""
    confidence = np.where(generator.random(size) < 1 / 30, 0.1, generator.beta(60, 1, size))
    words = generator.lognormal(5, 0.8, size).astype(np.int64)
    return LabelledArticles(np.full(size, "a"), confidence, words)


if __name__ == "__main__":
    main()
