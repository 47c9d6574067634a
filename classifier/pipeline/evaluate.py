"""Measure a model on the test split, with the very artefact and engine that will label."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Row

from classifier import durable, registry
from classifier.articles import AnnotatedArticle, Model, Probabilities
from classifier.evaluation import baseline, comparison
from classifier.evaluation import report as reports
from classifier.evaluation.abstention import Threshold
from classifier.evaluation.metrics import Metrics, measure
from classifier.evaluation.sample import Answers
from classifier.exceptions import TrainingDataError
from classifier.labelling import engine as engines
from classifier.labelling.pages import Labeller
from classifier.pipeline import answers, blending, confidence
from classifier.pipeline.use_case import use_case
from classifier.store import evaluations, reads, writes
from classifier.training import snapshot
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

MAX_P = 0.05
"""With a larger p-value, a difference from the baseline may be chance."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model's figures beside the baseline's, on the same articles.

    `train_seconds` is None for a model that was not trained here. `confidence` says how far that is to be trusted.
    `baseline_p` is the exact p-value of McNemar's test for equal accuracy, None where it was not computed.
    """

    model: str
    metrics: Metrics
    baseline: Metrics
    engine: str
    train_seconds: float | None = None
    baseline_train_seconds: float = 0.0
    confidence: Mapping[str, Any] = field(default_factory=dict)
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

    `wanted_precision` is what the model's threshold was chosen for.
    """

    test: Sequence[AnnotatedArticle]
    facts: Sequence[Row[*tuple[Any, ...]]]
    train: Sequence[AnnotatedArticle]
    validation: Sequence[AnnotatedArticle]
    train_seconds: float | None
    wanted_precision: float | None


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the model and the baseline answered on the test articles, and in how many seconds."""

    probabilities: Probabilities
    seconds: float
    baseline: Sequence[str]
    baseline_seconds: float


@use_case
def run(
    workspace: Workspace,
    name: str | None = None,
    *,
    engine: engines.EngineName = "auto",
    wanted_precision: float | None = None,
) -> Evaluated:
    """Evaluate a model (the newest by default, or "champion") and store its figures and answers.

    The figures go into the database and, as `NAME.evaluation.json`, beside the model's own directory. With
    `wanted_precision`, the model's threshold is chosen anew on the validation split first; of the champion, readers
    then see at once what it abstains from.

    Raises:
        ModelNotFoundError: there is no such model.
        ArtefactError: its files are not the registered ones.
        TrainingDataError: the test split has no annotated article, or the validation split, to choose a threshold.
    """
    model, data = _read(workspace, name)
    if wanted_precision is not None and not data.validation:
        raise TrainingDataError("the validation split has no annotated article to choose a threshold on")
    files = registry.open_artefact(model)
    chosen = engines.choose(files, engine=engine)
    labeller = Labeller.of(files, chosen, home=workspace.settings.home)
    threshold = None
    if wanted_precision is not None:
        unseen = blending.held_out(labeller, data.train)
        with workspace.database.connect() as connection:
            clusters = confidence.clusters_of(connection, data.validation)
        threshold = confidence.choose_threshold(unseen, data.validation, wanted_precision, clusters)
        model = replace(model, threshold=threshold.value)
        data = replace(data, wanted_precision=wanted_precision)
    measured = _measure(model, data, labeller)
    report = _report(model, data, measured)
    truth = [article.category for article in data.test]
    predicted = [model.categories[index] for index in measured.probabilities.argmax(axis=1)]
    result = Evaluated(
        model.name,
        measure(truth, predicted),
        measure(truth, measured.baseline),
        f"{chosen.name} {chosen.precision}",
        data.train_seconds,
        measured.baseline_seconds,
        reports.headline(report),
        _p_of_difference(data, predicted, measured.baseline),
    )
    log.log(logging.INFO if result.beats_baseline else logging.WARNING, "%s: %s", model.name, result.verdict)
    _store(workspace, model, result, data, measured, report, threshold)
    return result


def _read(workspace: Workspace, name: str | None) -> tuple[Model, _Data]:
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        test = reads.annotated_articles(connection, "test")
        facts = evaluations.articles_by_id(connection, [article.id for article in test])
        train, validation = (reads.annotated_articles(connection, split) for split in ("train", "validation"))
        seconds = reads.training(connection, model.id).get("training", {}).get("seconds")
        wanted = (reads.confidence(connection, model.id) or {}).get("threshold", {}).get("wanted_precision")
    if not test:
        raise TrainingDataError("the test split has no annotated article to evaluate on")
    if not (train or validation):
        raise TrainingDataError("no annotated article outside the test split for the baseline to learn from")
    return model, _Data(test, facts, train, validation, seconds, wanted)


def _measure(model: Model, data: _Data, labeller: Labeller) -> _Measured:
    log.info("evaluating %s on %d articles", model.name, len(data.test))
    texts = [article.text for article in data.test]
    started = time.perf_counter()
    probabilities = labeller.probabilities(texts)
    seconds = time.perf_counter() - started
    # the baseline stops nowhere early, so it may learn from the validation split too
    rest = [*data.train, *data.validation]
    guessed, baseline_seconds = baseline.predict(
        [article.text for article in rest], [article.category for article in rest], texts
    )
    return _Measured(probabilities, seconds, guessed, baseline_seconds)


def _report(model: Model, data: _Data, measured: _Measured) -> dict[str, Any]:
    return reports.build(
        answers.sample(data.test, data.facts),
        Answers(model.categories, measured.probabilities.astype(np.float64)),
        np.array(measured.baseline),
        temperature=model.temperature,
        threshold=model.threshold,
        wanted_precision=data.wanted_precision,
    )


def _p_of_difference(data: _Data, predicted: Sequence[str], guessed: Sequence[str]) -> float:
    sample = answers.sample(data.test, data.facts)
    return comparison.mcnemar(sample, np.array(predicted), np.array(guessed)).p_two_sided


def _store(
    workspace: Workspace,
    model: Model,
    result: Evaluated,
    data: _Data,
    measured: _Measured,
    report: Mapping[str, Any],
    threshold: Threshold | None,
) -> None:
    data_sha256 = snapshot.sha256(data.test)  # two evaluations compare only where this is the same
    metrics = {
        **result.metrics.as_json(),
        "baseline": result.baseline.as_json(),
        "engine": result.engine,
        "train_seconds": result.train_seconds,
        "baseline_train_seconds": result.baseline_train_seconds,
        "beats_baseline": result.beats_baseline,
        "baseline_p": result.baseline_p,
        "articles_per_second": round(len(data.test) / measured.seconds, 2),
        "report": report,
    }
    values = {
        "data_sha256": data_sha256,
        "articles": result.metrics.articles,
        "accuracy": result.metrics.accuracy,
        "macro_f1": result.metrics.macro_f1,
        "metrics": metrics,
    }
    _write_beside(Path(model.artefact), {"model": model.name, "data_sha256": data_sha256, **metrics})
    with workspace.database.begin() as connection:
        if threshold is not None:
            writes.set_threshold(connection, model.id, threshold.value, threshold.as_json())
        key = writes.add_evaluation(connection, model.id, "test", values)
        answers.keep(connection, key, data.test, data.facts, measured.baseline, measured.probabilities)


def _write_beside(artefact: Path, content: dict[str, object]) -> None:
    # Beside the artefact and not in it: an artefact never changes.
    path = artefact.with_name(f"{artefact.name}.evaluation.json")
    durable.write(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
