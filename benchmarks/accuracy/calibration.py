"""Is a model as often right as it says, before and after its temperature, and is its threshold as precise as wanted?

On a trained model of a project (its folder is a `CLASSIFIER_HOME`, as `make demo` leaves one in var/demo): both are
chosen on the validation articles, with the engine that labels, and measured on the test articles. Nothing is written
into the project. And on made-up articles of which the truth is known: how often a threshold promises too much.

    python -m benchmarks.accuracy.calibration --home var/demo --out benchmarks/results/calibration.json
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support import common
from classifier.evaluation import abstention, bootstrap, comparison, drift_checks, reliability
from classifier.evaluation.drift_checks import LabelledArticles
from classifier.evaluation.test_articles import Predictions, TestArticles
from classifier.model import temperature_scaling

Side = tuple[TestArticles, Predictions]
"""Articles, and what the model answers on them."""

WANTED = (0.95, 0.98, 0.99, 0.995)
RESAMPLES = 2_000
SIZES = (200, 1_000, 5_000)
POPULATION = 1_000_000


def main() -> None:
    """Measure the model, where one is given, and simulate."""
    parser = common.parser(__doc__)
    parser.add_argument("--home", type=Path, help="folder of a project with a trained model")
    parser.add_argument("--model", help="the model's name; the newest by default")
    parser.add_argument("--name", default="the project's own", help="what the articles are called in the result")
    parser.add_argument("--trials", type=int, default=300, help="validation splits that are drawn")
    options = parser.parse_args()
    trials, sizes = (10, SIZES[:1]) if options.quick else (options.trials, SIZES)
    runs = [measure(options)] if options.home else []
    columns = ("articles", "wanted", "promised", "too much", "coverage", "(lowest)", "too much", "coverage")
    print(f"{'':42}" + "".join(f"{name:>10}" for name in columns))
    for run in simulate(sizes, trials):
        runs.append(run)
        keys = ("promised", "promised_too_much", "coverage")
        figures = "".join(f"{run[key]:10.3f}" for key in ("wanted", *keys, *(f"lowest_{key}" for key in keys)))
        print(f"{run['dataset']:42}{run['validation_articles']:10,}{figures}", flush=True)
    common.report(runs, options.out, settings={"trials": trials, "confidence": abstention.CONFIDENCE})


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a model's temperature and thresholds reach on its project's test articles."""
    model, categories, validation, test = answer(options)
    known = np.isin(validation[0].truth, categories)
    columns = [categories.index(name) for name in validation[0].truth[known]]
    fitted = temperature_scaling.fit_temperature(validation[1][known], np.array(columns))
    run: dict[str, Any] = {
        "dataset": options.name,
        "model": model,
        "validation_articles": len(validation[0]),
        "test_articles": len(test[0]),
        "temperature": round(fitted, 4),
    }
    sides = {}
    for name, (sample, probabilities) in (("validation", validation), ("test", test)):
        for when, at in (("before", temperature_scaling.UNCALIBRATED), ("after", fitted)):
            found = Predictions(categories, temperature_scaling.apply_temperature(probabilities, at).astype(np.float64))
            sides[name, when] = sample, found
            run |= {f"{name}_{key}_{when}": value for key, value in errors(sample, found).items()}
    gained = comparison.calibration_error(test[0], sides["test", "after"][1], sides["test", "before"][1])
    run["test_ece_gained_interval"] = [round(one, 5) for one in bootstrap.percentile_interval(gained.resampled)]
    run["test_accuracy"], run["test_accuracy_estimated"] = estimate(
        sides["validation", "after"], sides["test", "after"]
    )
    run["thresholds"] = list(thresholds(sides["validation", "after"], sides["test", "after"]))
    show(run)
    return run


def estimate(validation: Side, test: Side) -> tuple[float, float]:
    """Return the accuracy on the test articles, and what `classifier drift` would tell of it from confidence."""
    sides = [LabelledArticles(found.predicted, found.confidence, sample.words) for sample, found in (validation, test)]
    right = [float((found.predicted == sample.truth).mean()) for sample, found in (validation, test)]
    told = drift_checks.check_estimated_accuracy(
        sides[0], right[0], sides[1], drift_checks.DriftLimits(1, 1, 1)
    ).figures["estimate"]
    return round(right[1], 5), round(told, 5)


def answer(
    options: argparse.Namespace,
) -> tuple[str, tuple[str, ...], tuple[TestArticles, Any], tuple[TestArticles, Any]]:
    """Let the engine answer both splits at temperature 1."""
    from classifier import registry
    from classifier.inference.fine_tuned_classifier import FineTunedClassifier
    from classifier.pipeline.promotion import evaluation_results
    from classifier.settings import Settings
    from classifier.store import annotated_articles, evaluations
    from classifier.workspace import open_workspace

    workspace = open_workspace(Settings(home=options.home, _env_file=None))
    with workspace.database.connect() as connection:
        model = registry.find(connection, options.model)
        splits = [annotated_articles.load_split(connection, split) for split in ("validation", "test")]
        facts = [evaluations.articles_by_id(connection, [article.id for article in split]) for split in splits]
    workspace.database.dispose()
    files = registry.open_artefact(model)
    labeller = FineTunedClassifier(replace(files.load(), calibration={}, ensemble=None)).labeller()
    found = [
        (evaluation_results.to_test_articles(split, rows), labeller.probabilities([article.text for article in split]))
        for split, rows in zip(splits, facts, strict=True)
    ]
    return model.name, files.categories, found[0], found[1]


def errors(sample: TestArticles, found: Predictions) -> dict[str, Any]:
    """Return expected calibration error with its 95 % interval, log loss, Brier score and mean confidence."""
    known = np.isin(sample.truth, found.categories)
    columns = np.array([found.categories.index(name) for name in sample.truth[known]])
    loss = temperature_scaling.negative_log_likelihood(found.probabilities[known].astype(np.float32), columns)
    contributions = reliability.contributions(sample.truth, found)
    resampled = reliability.calibration_error(
        bootstrap.resample_sums(contributions, sample.clusters, resamples=RESAMPLES)
    )
    return {
        "ece": round(float(reliability.calibration_error(contributions.sum(axis=0))), 5),
        "ece_interval": [round(one, 5) for one in bootstrap.percentile_interval(resampled)],
        "log_loss": round(loss, 5),
        "brier": round(float(reliability.mean_brier(contributions.sum(axis=0))), 5),
        "confidence": round(float(found.confidence.mean()), 5),
    }


def thresholds(validation: Side, test: Side) -> Iterator[dict[str, Any]]:
    """Yield what each target precision gives."""
    (sample, found), (other, said) = validation, test
    for wanted in WANTED:
        chosen = abstention.choose_threshold(
            found.confidence.astype(np.float32), found.predicted == sample.truth, wanted
        )
        kept = said.confidence >= np.float32(chosen.value)
        right = (said.predicted == other.truth)[kept]
        yield {
            "wanted": wanted,
            "reached_on_validation": chosen.reached,
            "threshold": round(chosen.value, 5),
            "validation_at_least": round(chosen.at_least, 5),
            "precision": round(float(right.mean()), 5),
            "mistakes": int((~right).sum()),
            "coverage": round(float(kept.mean()), 5),
        }


def show(run: dict[str, Any]) -> None:
    """Print a model's figures for people."""
    print(f"{run['model']}, {run['validation_articles']} validation and {run['test_articles']} test articles")
    print(f"temperature {run['temperature']}: on the test articles")
    for key in ("ece", "log_loss", "brier", "confidence"):
        print(f"  {key:12}{run[f'test_{key}_before']:9.5f} before{run[f'test_{key}_after']:9.5f} after")
    print(f"  accuracy    {run['test_accuracy']:9.5f}, told from confidence {run['test_accuracy_estimated']:.5f}")
    for one in run["thresholds"]:
        note = "" if one["reached_on_validation"] else "  (the best there is)"
        print(f"  wanted {one['wanted']:5}: precision {one['precision']:.4f} on {one['coverage']:.1%}{note}")


def simulate(sizes: tuple[int, ...], trials: int) -> Iterator[dict[str, Any]]:
    """Yield, a world, size and target precision, how often a threshold was shown to be as wanted, and was not.

    Beside it, on the same articles, the lowest threshold whose own bound suffices, which is many tests at full level.
    """
    generator = np.random.default_rng(0)
    sure = generator.random(POPULATION) < 0.9
    confidence = np.where(sure, 1 - generator.beta(1, 60, POPULATION), generator.uniform(0.3, 1, POPULATION))
    confidence = -np.sort(-confidence).astype(np.float32)
    for size in sizes:
        for wanted in (0.95, 0.99):
            for name, right in worlds(confidence, wanted):
                found = [trial(confidence, right, size, wanted, generator) for _ in range(trials)]
                promised, too_much, coverage, *lowest = np.mean(found, axis=0)
                yield {
                    "dataset": f"made up, {name}",
                    "validation_articles": size,
                    "wanted": wanted,
                    "promised": round(float(promised), 4),
                    "promised_too_much": round(float(too_much), 4),
                    "coverage": round(float(coverage), 4),
                    "lowest_promised": round(float(lowest[0]), 4),
                    "lowest_promised_too_much": round(float(lowest[1]), 4),
                    "lowest_coverage": round(float(lowest[2]), 4),
                }


def worlds(confidence: np.ndarray, wanted: float) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names, and how probably each article is right."""
    yield "calibrated", confidence
    yield "one annotation in 200 is wrong", 0.995 * confidence
    yield "confidence says nothing", np.full(len(confidence), wanted - 0.005, np.float32)


def trial(
    confidence: np.ndarray, right: np.ndarray, size: int, wanted: float, generator: np.random.Generator
) -> tuple[float, ...]:
    """Draw a validation split and choose in both ways; return for each whether it promises, wrongly, and coverage.

    The coverage is that of promises alone: without one it is 0.
    """
    rows = np.sort(generator.integers(0, POPULATION, size))
    correct = generator.random(size) < right[rows]
    chosen = abstention.choose_threshold(confidence[rows], correct, wanted)
    bounds = abstention.lower_bound(np.cumsum(correct), np.arange(1, size + 1))
    enough = np.flatnonzero(bounds >= wanted)
    lowest = float(confidence[rows[enough[-1]]]) if len(enough) and enough[-1] + 1 < size else 0.0
    return (
        *promise(confidence, right, chosen.value, wanted, promised=chosen.reached),
        *promise(confidence, right, lowest, wanted, promised=len(enough) > 0),
    )


def promise(
    confidence: np.ndarray, right: np.ndarray, threshold: float, wanted: float, *, promised: bool
) -> tuple[float, float, float]:
    """Return 1 for a promise, 1 for one that the population breaks, and the share of the population above it."""
    if not promised:
        return 0.0, 0.0, 0.0
    kept = int((confidence >= np.float32(threshold)).sum()) if threshold else POPULATION
    return 1.0, float(right[:kept].mean() < wanted), kept / POPULATION


if __name__ == "__main__":
    main()
