"""Measure a model on the test split, with the very artefact and engine that will label."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier import registry
from classifier.articles import AnnotatedArticle, Model
from classifier.evaluation import baseline
from classifier.evaluation.metrics import Metrics, measure
from classifier.exceptions import TrainingDataError
from classifier.labelling import engine as engines
from classifier.labelling.pages import Labeller
from classifier.pipeline.use_case import use_case
from classifier.store import reads, writes
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model's figures beside the baseline's, on the same articles."""

    model: str
    metrics: Metrics
    baseline: Metrics
    engine: str

    @property
    def beats_baseline(self) -> bool:
        """Whether the model is the more accurate of the two."""
        return self.metrics.accuracy > self.baseline.accuracy


@use_case
def run(workspace: Workspace, name: str | None = None, *, engine: engines.EngineName = "auto") -> Evaluated:
    """Evaluate a model (the newest by default, or "champion") and store its figures.

    They go into the database and, as `NAME.evaluation.json`, beside the model's own directory.

    Raises:
        ModelNotFoundError: there is no such model.
        ArtefactError: its files are not the registered ones.
        TrainingDataError: the test split has no annotated article.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        test = reads.annotated_articles(connection, "test")
        # the baseline stops nowhere early, so it may learn from the validation split too
        rest = [*reads.annotated_articles(connection, "train"), *reads.annotated_articles(connection, "validation")]
    if not test:
        raise TrainingDataError("the test split has no annotated article to evaluate on")
    if not rest:
        raise TrainingDataError("no annotated article outside the test split for the baseline to learn from")
    files = registry.open_artefact(model)
    chosen = engines.choose(files, engine=engine)
    labeller = Labeller.of(files, chosen, home=workspace.settings.home)
    log.info("evaluating %s on %d articles", model.name, len(test))
    probabilities = labeller.probabilities([article.text for article in test])
    predicted = [model.categories[index] for index in probabilities.argmax(axis=1)]
    result = Evaluated(
        model.name,
        measure([article.category for article in test], predicted),
        _baseline(rest, test),
        f"{chosen.name} {chosen.precision}",
    )
    _store(workspace, model, result, _fingerprint(test))
    return result


def _baseline(rest: Sequence[AnnotatedArticle], test: Sequence[AnnotatedArticle]) -> Metrics:
    return baseline.evaluate(
        [article.text for article in rest],
        [article.category for article in rest],
        [article.text for article in test],
        [article.category for article in test],
    )


def _fingerprint(test: Sequence[AnnotatedArticle]) -> str:
    """Identify the data: two evaluations compare only if it is the same."""
    digest = hashlib.sha256()
    for article in test:
        digest.update(article.id.to_bytes(8, "big") + article.text_hash + article.category.encode() + b"\0")
    return digest.hexdigest()


def _store(workspace: Workspace, model: Model, result: Evaluated, data_sha256: str) -> None:
    metrics = {
        **result.metrics.as_json(),
        "baseline": result.baseline.as_json(),
        "engine": result.engine,
    }
    _write_beside(Path(model.artefact), {"model": model.name, "data_sha256": data_sha256, **metrics})
    values = {
        "data_sha256": data_sha256,
        "articles": result.metrics.articles,
        "accuracy": result.metrics.accuracy,
        "macro_f1": result.metrics.macro_f1,
        "metrics": metrics,
    }
    with workspace.database.begin() as connection:
        writes.add_evaluation(connection, model.id, "test", values)


def _write_beside(artefact: Path, content: dict[str, object]) -> None:
    # Beside the artefact and not in it: an artefact never changes.
    path = artefact.with_name(f"{artefact.name}.evaluation.json")
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    Path(aside).replace(path)
