"""Measure a model's calibration before and after temperature scaling, and the precision of its thresholds.

On a trained model of a project (its folder is a `CLASSIFIER_HOME`, such as var/demo after `make demo`): temperature and
thresholds are chosen on the validation articles, with the engine that labels, and measured on the test articles.
Nothing is written into the project. On synthetic articles with known truth: how often a threshold promises a precision
that it does not have.

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
"""Articles and the model's predictions for them."""

TARGETS = (0.95, 0.98, 0.99, 0.995)
RESAMPLES = 2_000
SIZES = (200, 1_000, 5_000)
POPULATION = 1_000_000


def main() -> None:
    """Measure the model, if one is named, simulate, and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--home", type=Path, help="folder of a project with a trained model")
    parser.add_argument("--model", help="the model's name; the newest by default")
    parser.add_argument("--name", default="the project's own", help="name of the articles in the result")
    parser.add_argument("--trials", type=int, default=300, help="number of validation splits")
    options = parser.parse_args()
    trials, sizes = (10, SIZES[:1]) if options.quick else (options.trials, SIZES)
    runs = [measure(options)] if options.home else []
    columns = ("articles", "target", "promised", "broken", "coverage", "(lowest)", "broken", "coverage")
    print(f"{'':42}" + "".join(f"{name:>10}" for name in columns))
    for run in simulate(sizes, trials):
        runs.append(run)
        keys = ("promised", "promised_too_much", "coverage")
        figures = "".join(f"{run[key]:10.3f}" for key in ("wanted", *keys, *(f"lowest_{key}" for key in keys)))
        print(f"{run['dataset']:42}{run['validation_articles']:10,}{figures}", flush=True)
    common.report(runs, options.out, settings={"trials": trials, "confidence": abstention.CONFIDENCE})


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the effect of a model's temperature and thresholds on its project's test articles."""
    model, categories, validation, test = predict(options)
    is_known = np.isin(validation[0].truth, categories)
    columns = [categories.index(name) for name in validation[0].truth[is_known]]
    fitted = temperature_scaling.fit_temperature(validation[1][is_known], np.array(columns))
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
            predictions = Predictions(
                categories, temperature_scaling.apply_temperature(probabilities, at).astype(np.float64)
            )
            sides[name, when] = sample, predictions
            run |= {f"{name}_{key}_{when}": value for key, value in errors(sample, predictions).items()}
    gained = comparison.calibration_error(test[0], sides["test", "after"][1], sides["test", "before"][1])
    run["test_ece_gained_interval"] = [round(bound, 5) for bound in bootstrap.percentile_interval(gained.resampled)]
    run["test_accuracy"], run["test_accuracy_estimated"] = estimate(
        sides["validation", "after"], sides["test", "after"]
    )
    run["thresholds"] = list(thresholds(sides["validation", "after"], sides["test", "after"]))
    show(run)
    return run


def estimate(validation: Side, test: Side) -> tuple[float, float]:
    """Return the accuracy on the test articles, and the estimate that `classifier drift` derives from confidence."""
    splits = (validation, test)
    sides = [
        LabelledArticles(predictions.predicted, predictions.confidence, sample.words) for sample, predictions in splits
    ]
    accuracy = [float((predictions.predicted == sample.truth).mean()) for sample, predictions in splits]
    check = drift_checks.check_estimated_accuracy(sides[0], accuracy[0], sides[1], drift_checks.DriftLimits(1, 1, 1))
    return round(accuracy[1], 5), round(check.figures["estimate"], 5)


def predict(
    options: argparse.Namespace,
) -> tuple[str, tuple[str, ...], tuple[TestArticles, Any], tuple[TestArticles, Any]]:
    """Return the model's name and categories, and both splits with their probabilities at temperature 1."""
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
    validation, test = [
        (evaluation_results.to_test_articles(split, rows), labeller.probabilities([article.text for article in split]))
        for split, rows in zip(splits, facts, strict=True)
    ]
    return model.name, files.categories, validation, test


def errors(sample: TestArticles, predictions: Predictions) -> dict[str, Any]:
    """Return the expected calibration error with its 95 % interval, log loss, Brier score and mean confidence."""
    is_known = np.isin(sample.truth, predictions.categories)
    columns = np.array([predictions.categories.index(name) for name in sample.truth[is_known]])
    probabilities = predictions.probabilities[is_known].astype(np.float32)
    loss = temperature_scaling.negative_log_likelihood(probabilities, columns)
    contributions = reliability.contributions(sample.truth, predictions)
    resampled = reliability.calibration_error(
        bootstrap.resample_sums(contributions, sample.clusters, resamples=RESAMPLES)
    )
    return {
        "ece": round(float(reliability.calibration_error(contributions.sum(axis=0))), 5),
        "ece_interval": [round(bound, 5) for bound in bootstrap.percentile_interval(resampled)],
        "log_loss": round(loss, 5),
        "brier": round(float(reliability.mean_brier(contributions.sum(axis=0))), 5),
        "confidence": round(float(predictions.confidence.mean()), 5),
    }


def thresholds(validation: Side, test: Side) -> Iterator[dict[str, Any]]:
    """Yield the threshold of each target precision, with its precision and coverage on the test articles."""
    (validation_sample, validated), (test_sample, tested) = validation, test
    for target in TARGETS:
        chosen = abstention.choose_threshold(
            validated.confidence.astype(np.float32), validated.predicted == validation_sample.truth, target
        )
        kept = tested.confidence >= np.float32(chosen.value)
        correct = (tested.predicted == test_sample.truth)[kept]
        yield {
            "wanted": target,
            "reached_on_validation": chosen.reached,
            "threshold": round(chosen.value, 5),
            "validation_at_least": round(chosen.at_least, 5),
            "precision": round(float(correct.mean()), 5),
            "mistakes": int((~correct).sum()),
            "coverage": round(float(kept.mean()), 5),
        }


def show(run: dict[str, Any]) -> None:
    """Print a model's figures."""
    print(f"{run['model']}, {run['validation_articles']} validation and {run['test_articles']} test articles")
    print(f"temperature {run['temperature']}: on the test articles")
    for key in ("ece", "log_loss", "brier", "confidence"):
        print(f"  {key:12}{run[f'test_{key}_before']:9.5f} before{run[f'test_{key}_after']:9.5f} after")
    print(f"  accuracy    {run['test_accuracy']:9.5f}, estimated from confidence {run['test_accuracy_estimated']:.5f}")
    for row in run["thresholds"]:
        note = "" if row["reached_on_validation"] else "  (target not reached: the best threshold)"
        print(f"  target {row['wanted']:5}: precision {row['precision']:.4f} on {row['coverage']:.1%}{note}")


def simulate(sizes: tuple[int, ...], trials: int) -> Iterator[dict[str, Any]]:
    """Yield for each population, size and target how often a threshold promises its precision, and does not have it.

    The comparison, on the same articles, is the lowest threshold whose own bound suffices: many tests, each at full
    level.
    """
    generator = np.random.default_rng(0)
    is_confident = generator.random(POPULATION) < 0.9
    confidence = np.where(is_confident, 1 - generator.beta(1, 60, POPULATION), generator.uniform(0.3, 1, POPULATION))
    confidence = -np.sort(-confidence).astype(np.float32)
    for size in sizes:
        for target in (0.95, 0.99):
            for name, accuracy in populations(confidence, target):
                results = [trial(confidence, accuracy, size, target, generator) for _ in range(trials)]
                promised, too_much, coverage, *lowest = np.mean(results, axis=0)
                yield {
                    "dataset": f"synthetic, {name}",
                    "validation_articles": size,
                    "wanted": target,
                    "promised": round(float(promised), 4),
                    "promised_too_much": round(float(too_much), 4),
                    "coverage": round(float(coverage), 4),
                    "lowest_promised": round(float(lowest[0]), 4),
                    "lowest_promised_too_much": round(float(lowest[1]), 4),
                    "lowest_coverage": round(float(lowest[2]), 4),
                }


def populations(confidence: np.ndarray, target: float) -> Iterator[tuple[str, np.ndarray]]:
    """Yield populations: a name and the probability that each article's prediction is correct."""
    yield "calibrated", confidence
    yield "one annotation in 200 is wrong", 0.995 * confidence
    yield "confidence is uninformative", np.full(len(confidence), target - 0.005, np.float32)


def trial(
    confidence: np.ndarray, accuracy: np.ndarray, size: int, target: float, generator: np.random.Generator
) -> tuple[float, ...]:
    """Draw a validation split and choose a threshold in both ways; return for each the result of `promise`."""
    rows = np.sort(generator.integers(0, POPULATION, size))
    correct = generator.random(size) < accuracy[rows]
    chosen = abstention.choose_threshold(confidence[rows], correct, target)
    bounds = abstention.lower_bound(np.cumsum(correct), np.arange(1, size + 1))
    enough = np.flatnonzero(bounds >= target)
    lowest = float(confidence[rows[enough[-1]]]) if len(enough) and enough[-1] + 1 < size else 0.0
    return (
        *promise(confidence, accuracy, chosen.value, target, promised=chosen.reached),
        *promise(confidence, accuracy, lowest, target, promised=len(enough) > 0),
    )


def promise(
    confidence: np.ndarray, accuracy: np.ndarray, threshold: float, target: float, *, promised: bool
) -> tuple[float, float, float]:
    """Return 1 if the precision is promised, 1 if the population does not have it, and the promise's coverage."""
    if not promised:
        return 0.0, 0.0, 0.0
    kept = int((confidence >= np.float32(threshold)).sum()) if threshold else POPULATION
    return 1.0, float(accuracy[:kept].mean() < target), kept / POPULATION


if __name__ == "__main__":
    main()
