"""Evaluate a model on the test split, with the same artefact and engine that label."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from classifier import atomic_files, registry
from classifier.articles import Model
from classifier.evaluation.abstention import Threshold
from classifier.evaluation.thresholds import CategoryThresholds
from classifier.exceptions import SettingsError, TrainingDataError
from classifier.inference import engines
from classifier.inference.labeller import Labeller
from classifier.pipeline.erasure.article_copies import copies_articles
from classifier.pipeline.monitoring import category_coverage
from classifier.pipeline.promotion import (
    evaluation_figures,
    evaluation_results,
    example_checks,
    model_outputs,
    training_exposure,
)
from classifier.pipeline.promotion.evaluation_figures import EvaluatedArticles, EvaluationReport, LabelSets
from classifier.pipeline.promotion.example_checks import ExampleOutputs
from classifier.pipeline.promotion.model_files import uses_model
from classifier.pipeline.promotion.model_outputs import ModelOutputs
from classifier.pipeline.promotion.training_exposure import TrainingExposure
from classifier.pipeline.training import calibration, ensembling
from classifier.pipeline.use_case import use_case
from classifier.store import annotated_articles, evaluations, model_rows
from classifier.training import data_snapshot
from classifier.training.spooled_articles import SpooledArticles, spool
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Data:
    """The annotated articles of each split; `facts` are the test articles' rows.

    `exposure` has the test articles that the model was trained on. `target_precision` is that of its threshold.
    """

    test: SpooledArticles
    facts: Sequence[Row[*tuple[Any, ...]]]
    train: SpooledArticles
    validation: SpooledArticles
    exposure: TrainingExposure
    train_seconds: float | None
    target_precision: float | None

    @property
    def kept(self) -> list[int]:
        """The indices of the test articles that count."""
        return [index for index, article_id in enumerate(self.test.ids) if article_id not in self.exposure.articles]


@dataclass(frozen=True, slots=True)
class _Outputs:
    """The outputs of the model and the predictions of the baseline on the test articles.

    `examples` are the model's outputs on the must-pass examples, None if there is no folder of them.
    """

    model: ModelOutputs
    baseline: LabelSets
    baseline_seconds: float
    examples: ExampleOutputs | None = None


@use_case
@copies_articles
@uses_model
def evaluate(
    workspace: Workspace,
    name: str | None = None,
    *,
    engine: engines.EngineName = "auto",
    target_precision: float | None = None,
    back_off: bool | None = None,
) -> EvaluationReport:
    """Evaluate a model (the newest by default, or "champion"), and store its figures and predictions.

    If an attempt is killed, the next one resumes after its last finished chunk. Test articles that the model was
    trained on, or near-duplicates of them, do not count in the figures, but the predictions on them are stored.

    The figures are stored in the database, and in `NAME.evaluation.json` next to the model's directory. With
    `target_precision`, the model's threshold is first re-tuned on the validation split. If the model is the champion,
    the new threshold takes effect at once. `back_off` says whether a parent is answered where only the parent reaches
    that threshold; by default, the setting does. The thresholds of a multi-label model that has labelled stay: they
    decided which labels are stored.

    Raises:
        ModelNotFoundError: there is no such model.
        ArtefactError: its files differ from the registered ones.
        SettingsError: thresholds would be re-tuned of a multi-label model that has labelled, or of a model whose
            categories were renamed or merged, or `back_off` is given for a multi-label model or without a precision.
        TrainingDataError: the test split, or the validation split for a threshold, has no annotated article.
    """
    model, data = _read(workspace, name)
    if back_off is not None:
        _check_back_off(model, target_precision)
    if target_precision is not None and not data.validation:
        raise TrainingDataError("the validation split has no annotated article to choose a threshold on")
    labeller = registry.open_classifier(model).labeller(engine, home=workspace.settings.home)
    threshold = None
    if target_precision is not None:
        _refuse_other_categories(model)
        with workspace.database.connect() as connection:
            _refuse_stored_labels(connection, model)
        backs_off = workspace.settings.back_off if back_off is None else back_off
        threshold = _choose_threshold(workspace, model, labeller, data, target_precision, back_off=backs_off)
        model = _with_threshold(model, threshold)
        data = replace(data, target_precision=target_precision)
    log.info("evaluating %s on %d articles", model.name, len(data.test))
    outputs = _answer(
        model, data, labeller, model_outputs.compute_outputs(workspace.database, model, labeller, data.test)
    )
    outputs = replace(outputs, examples=example_checks.evaluate_examples(workspace, model, labeller, engine))
    result, report = _figures(model, data, outputs, labeller.engine_name)
    while (present := _store(workspace, model, result, data, outputs, report, threshold)) != model:
        model = present  # meanwhile another evaluation has chosen a threshold
        with workspace.database.connect() as connection:
            data = replace(data, target_precision=_target_precision(connection, model))
        result, report = _figures(model, data, outputs, result.engine)
    if unknown := category_coverage.describe_unknown(result.unknown_categories, model.name):
        log.warning("%s", unknown)
    if outputs.examples is not None:
        example_checks.log_results(model, outputs.examples.results(model))
    log.log(logging.INFO if result.beats_baseline else logging.WARNING, "%s: %s", model.name, result.verdict)
    return result


def _read(workspace: Workspace, name: str | None) -> tuple[Model, _Data]:
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        test, train, validation = (
            spool(annotated_articles.stream_split(connection, split), workspace.settings.home)
            for split in ("test", "train", "validation")
        )
        rows = evaluations.articles_by_id(connection, test.ids)
        seconds = model_rows.training(connection, model.id).get("training", {}).get("seconds")
        exposure = training_exposure.find_exposure(
            connection, [model], dict(zip(test.ids, test.text_hashes, strict=True))
        )
        target = _target_precision(connection, model)
    if not test:
        raise TrainingDataError("the test split has no annotated article to evaluate on")
    if not (train or validation):
        raise TrainingDataError("no annotated article outside the test split to train the baseline on")
    if len(exposure.articles) == len(test):
        raise TrainingDataError(
            f"{model.name}: the model was trained on each of the {len(test)} test articles or a near-duplicate; "
            "annotate other articles of the test split"
        )
    return model, _Data(test, rows, train, validation, exposure, seconds, target)


def _choose_threshold(
    workspace: Workspace, model: Model, labeller: Labeller, data: _Data, target_precision: float, *, back_off: bool
) -> Threshold | CategoryThresholds:
    """Return the threshold, or those of the categories of a multi-label model, chosen on the validation split."""
    unseen = ensembling.refit_on_train(labeller, data.train)
    if model.kind == "multi":
        return calibration.choose_category_thresholds(unseen, data.validation, target_precision, model.min_labels)
    with workspace.database.connect() as connection:
        clusters = calibration.clusters_of(connection, data.validation)
        parents = calibration.parents_for_back_off(connection, back_off=back_off)
    return calibration.choose_threshold(unseen, data.validation, target_precision, clusters, parents)


def _check_back_off(model: Model, target_precision: float | None) -> None:
    if model.kind == "multi":
        raise SettingsError(f"--back-off: {model.name} gives an article any number of labels, and does not abstain")
    if target_precision is None:
        raise SettingsError("--back-off: chosen with a threshold; use --target-precision too")


def _refuse_stored_labels(connection: Connection, model: Model) -> None:
    if model.kind == "multi" and model_rows.was_champion(connection, model.id):
        raise SettingsError(
            f"--target-precision: {model.name} has labelled articles with its present thresholds; train a model with "
            "--target-precision, or import it again"
        )


def _refuse_other_categories(model: Model) -> None:
    if model.present_categories != model.categories:
        raise SettingsError(
            f"--target-precision: categories of {model.name} were renamed or merged since; train a model with "
            "--target-precision"
        )


def _with_threshold(model: Model, chosen: Threshold | CategoryThresholds) -> Model:
    if isinstance(chosen, CategoryThresholds):
        return replace(model, thresholds=chosen.values)
    return replace(model, threshold=chosen.value, backs_off=chosen.parents is not None)


def _target_precision(connection: Connection, model: Model) -> float | None:
    name = "thresholds" if model.kind == "multi" else "threshold"
    target: float | None = (model_rows.calibration(connection, model.id) or {}).get(name, {}).get("target_precision")
    return target


def _answer(model: Model, data: _Data, labeller: Labeller, outputs: ModelOutputs) -> _Outputs:
    # the baseline has no early stopping, so it is trained on the validation split too
    parts = (data.train, data.validation)
    predicted, seconds = evaluation_figures.predict_baseline(model, labeller, parts, data.test, data.target_precision)
    return _Outputs(outputs, predicted, seconds)


def _figures(model: Model, data: _Data, outputs: _Outputs, engine: str) -> tuple[EvaluationReport, dict[str, Any]]:
    """Return the figures and the report on the articles that count."""
    kept = data.kept
    articles = EvaluatedArticles(
        data.test.take(kept),
        [data.facts[index] for index in kept],
        outputs.model.probabilities[kept],
        [outputs.baseline[index] for index in kept],
    )
    result, report = evaluation_figures.compute_figures(model, articles, data.target_precision)
    result = replace(
        result,
        engine=engine,
        train_seconds=data.train_seconds,
        baseline_train_seconds=outputs.baseline_seconds,
        left_out=len(data.test) - len(kept),
        reused=outputs.model.reused,
    )
    return result, report


def _store(
    workspace: Workspace,
    model: Model,
    result: EvaluationReport,
    data: _Data,
    outputs: _Outputs,
    report: Mapping[str, Any],
    threshold: Threshold | CategoryThresholds | None,
) -> Model:
    """Store the evaluation and return the model; store nothing if the model's threshold has changed."""
    data_sha256 = data_snapshot.sha256(data.test)  # two evaluations are comparable only if this is the same
    metrics = {
        **result.metrics.as_json(),
        "baseline": result.baseline.as_json(),
        "engine": result.engine,
        "train_seconds": result.train_seconds,
        "baseline_train_seconds": result.baseline_train_seconds,
        "beats_baseline": result.beats_baseline,
        "baseline_p": result.baseline_p,
        "articles_per_second": round(len(data.test) / outputs.model.seconds, 2),
        "gflops_per_article": float(outputs.model.gflops.mean()),
        "computed_by": outputs.model.engine,
        "left_out": result.left_out,
        "unknown_categories": dict(result.unknown_categories),
        "training_unknown": data.exposure.unknown,
        "report": report,
    }
    if outputs.examples is not None:
        metrics[example_checks.METRIC] = outputs.examples.results(model).as_json()
    values = {
        "data_sha256": data_sha256,
        "articles": result.metrics.articles,
        "accuracy": result.accuracy,
        "macro_f1": result.metrics.macro_f1,
        "metrics": metrics,
    }
    with workspace.database.begin() as connection:
        evaluations.lock(connection, model.id)
        present = registry.find(connection, model.name)
        if isinstance(threshold, CategoryThresholds):
            model_rows.lock_champion(connection)  # until its new thresholds are stored, the model is not promoted
            _refuse_stored_labels(connection, model)
            model_rows.set_thresholds(connection, model.id, threshold.values, threshold.as_json())
        elif threshold is not None:
            backs_off = threshold.parents is not None
            model_rows.set_threshold(connection, model.id, threshold.value, threshold.as_json(), backs_off=backs_off)
        elif _thresholds(present) != _thresholds(model):
            return replace(
                model, threshold=present.threshold, thresholds=present.thresholds, backs_off=present.backs_off
            )
        key = evaluations.add(connection, model.id, "test", values)
        stored = outputs.model
        evaluation_results.save_results(
            connection, key, data.test, data.facts, outputs.baseline, stored.probabilities, stored.gflops.tolist()
        )
        evaluations.delete_partial_outputs(connection, model.id)
        # under the lock, so that the file has the newest evaluation
        _write_json(Path(model.artefact), {"model": model.name, "data_sha256": data_sha256, **metrics})
    return model


def _thresholds(model: Model) -> tuple[float | None, tuple[float, ...] | None, bool]:
    return model.threshold, model.thresholds, model.backs_off


def _write_json(artefact: Path, content: dict[str, object]) -> None:
    # next to the artefact and not in it, because an artefact never changes
    path = artefact.with_name(f"{artefact.name}.evaluation.json")
    atomic_files.write(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
