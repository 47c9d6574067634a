"""Measure a model on the test split, with the very artefact and engine that will label."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row

from classifier import atomic_files, registry
from classifier.articles import Model, Texts
from classifier.evaluation import baseline, comparison, results
from classifier.evaluation.abstention import Threshold
from classifier.evaluation.metrics import Metrics, compute_metrics
from classifier.evaluation.test_articles import Predictions
from classifier.exceptions import TrainingDataError
from classifier.inference import engines
from classifier.inference.labeller import Labeller
from classifier.model import checkpoint
from classifier.model.checkpoint import EncoderShape
from classifier.pipeline.promotion import evaluation_results, model_outputs, training_exposure
from classifier.pipeline.promotion.model_files import uses_model
from classifier.pipeline.promotion.model_outputs import ModelOutputs
from classifier.pipeline.promotion.training_exposure import TrainingExposure
from classifier.pipeline.training import calibration, ensembling
from classifier.pipeline.use_case import use_case
from classifier.store import evaluations, reads, writes
from classifier.training import data_snapshot
from classifier.training.spooled_articles import SpooledArticles, spool
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

MAX_P = 0.05
"""With a larger p-value, a difference from the baseline may be chance."""


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """A model's figures beside the baseline's, on the same articles.

    `train_seconds` is None for a model that was not trained here. `confidence` says how far that is to be trusted.
    `left_out` test articles do not count: the model was trained on them, or on near-duplicates of them. `reused`
    answers are those of an earlier attempt, or evaluation. `baseline_p` is the exact p-value of McNemar's test for
    equal accuracy, None where it was not computed.
    """

    model: str
    metrics: Metrics
    baseline: Metrics
    engine: str
    train_seconds: float | None = None
    baseline_train_seconds: float = 0.0
    confidence: Mapping[str, Any] = field(default_factory=dict)
    left_out: int = 0
    reused: int = 0
    baseline_p: float | None = None

    @property
    def beats_baseline(self) -> bool:
        """Whether the model is the more accurate of the two."""
        return self.metrics.accuracy > self.baseline.accuracy

    @property
    def verdict(self) -> str:
        """Which of the two is ahead, in a sentence, and whether chance alone may have made the difference."""
        difference = abs(self.metrics.accuracy - self.baseline.accuracy) * 100
        p = self.baseline_p
        chance = "" if p is None or p <= MAX_P else f", which may be chance (McNemar's exact test: p = {p:.2f})"
        if self.beats_baseline:
            return f"The model is ahead of the baseline by {difference:.2f} points of accuracy{chance}."
        cost = f"the baseline trains in {self.baseline_train_seconds:.1f} s"
        if not difference:
            return f"The model does not beat the baseline: they are equally accurate, and {cost}."
        ahead = f"ahead by {difference:.2f} points of accuracy{chance}"
        return f"The model does not beat the baseline, which is {ahead}; {cost}."


@dataclass(frozen=True, slots=True)
class _Data:
    """The annotated articles of each split; `facts` are the test articles' rows.

    `exposure` says which of the test articles the model was trained on. `target_precision` is what its threshold was
    chosen for.
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
        """The places of the test articles that count."""
        return [place for place, article_id in enumerate(self.test.ids) if article_id not in self.exposure.articles]


@dataclass(frozen=True, slots=True)
class _Outputs:
    """What the model and the baseline answered on the test articles."""

    model: ModelOutputs
    baseline: Sequence[str]
    baseline_seconds: float


@use_case
@uses_model
def evaluate(
    workspace: Workspace,
    name: str | None = None,
    *,
    engine: engines.EngineName = "auto",
    target_precision: float | None = None,
) -> EvaluationReport:
    """Evaluate a model (the newest by default, or "champion") and store its figures and answers.

    If an attempt is killed, the next one continues after the answers that it has finished. Test articles that the
    model was trained on, or near-duplicates of them, do not count in the figures; what it answers on them is stored.

    The figures go into the database and, as `NAME.evaluation.json`, beside the model's own directory. With
    `target_precision`, the model's threshold is chosen anew on the validation split first; of the champion, readers
    then see at once what it abstains from.

    Raises:
        ModelNotFoundError: there is no such model.
        ArtefactError: its files are not the registered ones.
        TrainingDataError: the test split has no annotated article, or the validation split, to choose a threshold.
    """
    model, data = _read(workspace, name)
    if target_precision is not None and not data.validation:
        raise TrainingDataError("the validation split has no annotated article to choose a threshold on")
    files = registry.open_artefact(model)
    chosen = engines.choose_engine(files, engine=engine)
    labeller = Labeller.of(files, chosen, home=workspace.settings.home)
    threshold = None
    if target_precision is not None:
        unseen = ensembling.held_out(labeller, data.train)
        with workspace.database.connect() as connection:
            clusters = calibration.clusters_of(connection, data.validation)
        threshold = calibration.choose_threshold(unseen, data.validation, target_precision, clusters)
        model = replace(model, threshold=threshold.value)
        data = replace(data, target_precision=target_precision)
    shape = EncoderShape.from_config(checkpoint.read_config(files.directory))
    log.info("evaluating %s on %d articles", model.name, len(data.test))
    outputs = _answer(data, model_outputs.compute_outputs(workspace.database, model, labeller, shape, data.test))
    result, report = _figures(model, data, outputs, f"{chosen.name} {chosen.precision}")
    while (present := _store(workspace, model, result, data, outputs, report, threshold)) != model:
        model = present  # another evaluation has chosen another threshold meanwhile
        with workspace.database.connect() as connection:
            data = replace(data, target_precision=_target_precision(connection, model))
        result, report = _figures(model, data, outputs, result.engine)
    log.log(logging.INFO if result.beats_baseline else logging.WARNING, "%s: %s", model.name, result.verdict)
    return result


def _read(workspace: Workspace, name: str | None) -> tuple[Model, _Data]:
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        test, train, validation = (
            spool(reads.stream_annotated_articles(connection, split), workspace.settings.home)
            for split in ("test", "train", "validation")
        )
        rows = evaluations.articles_by_id(connection, test.ids)
        seconds = reads.training(connection, model.id).get("training", {}).get("seconds")
        exposure = training_exposure.find_exposure(
            connection, [model], dict(zip(test.ids, test.text_hashes, strict=True))
        )
        wanted = _target_precision(connection, model)
    if not test:
        raise TrainingDataError("the test split has no annotated article to evaluate on")
    if not (train or validation):
        raise TrainingDataError("no annotated article outside the test split for the baseline to learn from")
    if len(exposure.articles) == len(test):
        raise TrainingDataError(
            f"{model.name}: was trained on each of the {len(test)} test articles, or on near-duplicates of them; "
            "annotate other articles of the test split"
        )
    return model, _Data(test, rows, train, validation, exposure, seconds, wanted)


def _target_precision(connection: Connection, model: Model) -> float | None:
    found: float | None = (reads.confidence(connection, model.id) or {}).get("threshold", {}).get("target_precision")
    return found


def _answer(data: _Data, measured: ModelOutputs) -> _Outputs:
    # the baseline stops nowhere early, so it may learn from the validation split too
    guessed, seconds = baseline.predict_baseline(
        Texts(data.train, data.validation),
        [*data.train.categories, *data.validation.categories],
        Texts(data.test),
    )
    return _Outputs(measured, guessed, seconds)


def _figures(model: Model, data: _Data, outputs: _Outputs, engine: str) -> tuple[EvaluationReport, dict[str, Any]]:
    """Compute the figures, and the report, on the articles that count."""
    kept = data.kept
    test = data.test.take(kept)
    guessed = np.array([outputs.baseline[place] for place in kept])
    found = Predictions(model.categories, outputs.model.probabilities[kept])
    sample = evaluation_results.to_test_articles(test, [data.facts[place] for place in kept])
    report = results.build_results(
        sample,
        found,
        guessed,
        temperature=model.temperature,
        threshold=model.threshold,
        target_precision=data.target_precision,
    )
    result = EvaluationReport(
        model.name,
        compute_metrics(test.categories, found.predicted.tolist()),
        compute_metrics(test.categories, guessed.tolist()),
        engine,
        data.train_seconds,
        outputs.baseline_seconds,
        results.confidence_figures(report),
        len(data.test) - len(kept),
        outputs.model.reused,
        comparison.mcnemar(sample, found.predicted, guessed).p_two_sided,
    )
    return result, report


def _store(
    workspace: Workspace,
    model: Model,
    result: EvaluationReport,
    data: _Data,
    outputs: _Outputs,
    report: Mapping[str, Any],
    threshold: Threshold | None,
) -> Model:
    """Store the evaluation and return the model; store nothing where the model now abstains at another threshold."""
    data_sha256 = data_snapshot.sha256(data.test)  # two evaluations compare only where this is the same
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
        "training_unknown": data.exposure.unknown,
        "report": report,
    }
    values = {
        "data_sha256": data_sha256,
        "articles": result.metrics.articles,
        "accuracy": result.metrics.accuracy,
        "macro_f1": result.metrics.macro_f1,
        "metrics": metrics,
    }
    with workspace.database.begin() as connection:
        evaluations.lock(connection, model.id)
        if threshold is not None:
            writes.set_threshold(connection, model.id, threshold.value, threshold.as_json())
        elif (present := registry.find(connection, model.name)).threshold != model.threshold:
            return replace(model, threshold=present.threshold)
        key = writes.add_evaluation(connection, model.id, "test", values)
        found = outputs.model
        evaluation_results.save_results(
            connection, key, data.test, data.facts, outputs.baseline, found.probabilities, found.gflops.tolist()
        )
        evaluations.delete_unfinished_answers(connection, model.id)
        # under the lock, so that the file is of the newest evaluation
        _write_json(Path(model.artefact), {"model": model.name, "data_sha256": data_sha256, **metrics})
    return model


def _write_json(artefact: Path, content: dict[str, object]) -> None:
    # Beside the artefact and not in it: an artefact never changes.
    path = artefact.with_name(f"{artefact.name}.evaluation.json")
    atomic_files.write(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
