"""Measure a model on the test split, with the very artefact and engine that will label."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Row

from classifier import durable, registry
from classifier.articles import AnnotatedArticle, Model, Probabilities
from classifier.evaluation import baseline
from classifier.evaluation import report as reports
from classifier.evaluation.metrics import Metrics, measure
from classifier.evaluation.sample import Answers
from classifier.exceptions import TrainingDataError
from classifier.labelling import engine as engines
from classifier.labelling.pages import Labeller
from classifier.pipeline import answers
from classifier.pipeline.use_case import use_case
from classifier.store import evaluations, reads, writes
from classifier.training import snapshot
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model's figures beside the baseline's, on the same articles.

    `train_seconds` is None for a model that was not trained here.
    """

    model: str
    metrics: Metrics
    baseline: Metrics
    engine: str
    train_seconds: float | None = None
    baseline_train_seconds: float = 0.0

    @property
    def beats_baseline(self) -> bool:
        """Whether the model is the more accurate of the two."""
        return self.metrics.accuracy > self.baseline.accuracy

    @property
    def verdict(self) -> str:
        """Which of the two is ahead, in a sentence."""
        difference = abs(self.metrics.accuracy - self.baseline.accuracy) * 100
        if self.beats_baseline:
            return f"The model is ahead of the baseline by {difference:.2f} points of accuracy."
        cost = f"the baseline trains in {self.baseline_train_seconds:.1f} s"
        if not difference:
            return f"The model does not beat the baseline: they are equally accurate, and {cost}."
        return f"The model does not beat the baseline, which is ahead by {difference:.2f} points of accuracy; {cost}."


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was answered on the test articles, and in how many seconds; `facts` are their rows."""

    test: Sequence[AnnotatedArticle]
    facts: Sequence[Row[*tuple[Any, ...]]]
    probabilities: Probabilities
    baseline: Sequence[str]
    seconds: float


@use_case
def run(workspace: Workspace, name: str | None = None, *, engine: engines.EngineName = "auto") -> Evaluated:
    """Evaluate a model (the newest by default, or "champion") and store its figures and answers.

    The figures go into the database and, as `NAME.evaluation.json`, beside the model's own directory.

    Raises:
        ModelNotFoundError: there is no such model.
        ArtefactError: its files are not the registered ones.
        TrainingDataError: the test split has no annotated article.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        test = reads.annotated_articles(connection, "test")
        # the baseline stops nowhere early, so it may learn from the validation split too
        training = reads.training(connection, model.id).get("training", {})
        rest = [*reads.annotated_articles(connection, "train"), *reads.annotated_articles(connection, "validation")]
        facts = evaluations.articles_by_id(connection, [article.id for article in test])
    if not test:
        raise TrainingDataError("the test split has no annotated article to evaluate on")
    if not rest:
        raise TrainingDataError("no annotated article outside the test split for the baseline to learn from")
    files = registry.open_artefact(model)
    chosen = engines.choose(files, engine=engine)
    labeller = Labeller.of(files, chosen, home=workspace.settings.home)
    log.info("evaluating %s on %d articles", model.name, len(test))
    started = time.perf_counter()
    probabilities = labeller.probabilities([article.text for article in test])
    seconds = time.perf_counter() - started
    predicted = [model.categories[index] for index in probabilities.argmax(axis=1)]
    guessed, baseline_seconds = _baseline(rest, test)
    truth = [article.category for article in test]
    result = Evaluated(
        model.name,
        measure(truth, predicted),
        measure(truth, guessed),
        f"{chosen.name} {chosen.precision}",
        training.get("seconds"),
        baseline_seconds,
    )
    log.log(logging.INFO if result.beats_baseline else logging.WARNING, "%s: %s", model.name, result.verdict)
    _store(workspace, model, result, _Measured(test, facts, probabilities, guessed, seconds))
    return result


def _baseline(rest: Sequence[AnnotatedArticle], test: Sequence[AnnotatedArticle]) -> tuple[list[str], float]:
    return baseline.predict(
        [article.text for article in rest],
        [article.category for article in rest],
        [article.text for article in test],
    )


def _store(workspace: Workspace, model: Model, result: Evaluated, measured: _Measured) -> None:
    sample = answers.sample(measured.test, measured.facts)
    found = Answers(model.categories, measured.probabilities.astype(np.float64))
    data_sha256 = snapshot.sha256(measured.test)  # two evaluations compare only where this is the same
    metrics = {
        **result.metrics.as_json(),
        "baseline": result.baseline.as_json(),
        "engine": result.engine,
        "train_seconds": result.train_seconds,
        "baseline_train_seconds": result.baseline_train_seconds,
        "beats_baseline": result.beats_baseline,
        "articles_per_second": round(len(sample) / measured.seconds, 2),
        "report": reports.build(sample, found, np.array(measured.baseline)),
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
        key = writes.add_evaluation(connection, model.id, "test", values)
        answers.keep(connection, key, measured.test, measured.facts, measured.baseline, measured.probabilities)


def _write_beside(artefact: Path, content: dict[str, object]) -> None:
    # Beside the artefact and not in it: an artefact never changes.
    path = artefact.with_name(f"{artefact.name}.evaluation.json")
    durable.write(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
