"""Write a model's evaluation as an HTML page, with the champion if both predicted the same articles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from classifier import atomic_files, registry
from classifier.articles import Model
from classifier.evaluation.gate import apply_rules
from classifier.evaluation.margins import Margins
from classifier.evaluation.page import html
from classifier.evaluation.page.html import Subject
from classifier.exceptions import NotEvaluatedError, SettingsError
from classifier.pipeline.promotion import evaluation_results, example_checks, training_exposure
from classifier.pipeline.promotion.evaluation_results import EvaluationResults
from classifier.pipeline.promotion.training_exposure import TrainingExposure
from classifier.pipeline.use_case import use_case
from classifier.store import evaluations, model_rows, promotions
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """The path of the page, and the models that it shows."""

    page: str
    model: str
    champion: str | None


@use_case
def write_report(workspace: Workspace, name: str | None = None, *, out: Path | None = None) -> WrittenReport:
    """Write the page of a model's last evaluation (the newest model by default) to `out`, by default next to the model.

    Nothing is evaluated again: the page shows the stored figures.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: it has not been evaluated.
        SettingsError: cannot write the file.
    """
    if out is not None and not out.parent.is_dir():
        raise SettingsError(f"{out.parent}: folder not found; choose another file with --out")
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        candidate = evaluation_results.newest_results(connection, model)
        other = model_rows.champion(connection)
        champion = _comparable_champion(connection, candidate, other) if other and other.id != model.id else None
        pair = [model, other] if other and champion else [model]
        exposure = training_exposure.find_exposure(connection, pair, candidate.articles)
    artefact = Path(model.artefact)
    path = out or artefact.with_name(f"{artefact.name}.evaluation.html")
    try:
        atomic_files.write(path, _page(workspace, candidate, champion, exposure).encode())
    except OSError as error:
        raise SettingsError(f"{path}: cannot write: {error.strerror}; choose another file with --out") from error
    return WrittenReport(str(path), model.name, champion.model if champion else None)


def _comparable_champion(
    connection: Connection, candidate: EvaluationResults, champion: Model
) -> EvaluationResults | None:
    """Return the champion's newest evaluation if both models predicted the same articles.

    The figures of each model exclude the articles that it was trained on, so they may cover fewer articles.
    """
    try:
        results = evaluation_results.newest_results(connection, champion)
    except NotEvaluatedError:
        return None
    return results if evaluation_results.same_articles(candidate, results) else None


@dataclass(frozen=True, slots=True)
class StoredReport:
    """The stored evaluation of a model, without any computation.

    `model` is None if it is not evaluated. `champion` is None if the model is the champion, or if the two predicted
    different articles. The figures of each exclude the articles that it was trained on. `rule_results` and `verdict`
    are those of the last time that the gate was applied.
    """

    model: Subject | None
    champion: Subject | None
    rule_results: tuple[Mapping[str, Any], ...]
    verdict: str


@use_case
def read_report(workspace: Workspace, name: str) -> StoredReport:
    """Return a model's last evaluation on the test split, and the champion's if the two can be compared.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    with workspace.database.connect() as connection:
        model, champion = registry.find(connection, name), model_rows.champion(connection)
        mine = evaluations.newest(connection, model.id)
        theirs = evaluations.newest(connection, champion.id) if champion and champion.id != model.id else None
        gate_statistics = [row.statistics for row in promotions.of_model(connection, model.id) if row.statistics]
    comparable = mine is not None and theirs is not None and mine.data_sha256 == theirs.data_sha256
    last = gate_statistics[-1] if gate_statistics else {}
    return StoredReport(
        _subject(model, mine),
        _subject(champion, theirs) if champion and comparable else None,
        tuple(last.get("rule_results", ())),
        last.get("verdict", ""),
    )


def _subject(model: Model, evaluation: Row[*tuple[Any, ...]] | None) -> Subject | None:
    """Return an evaluation; None if there is none, or it is from an older version without a report."""
    return Subject(model.name, evaluation.metrics) if evaluation and "report" in evaluation.metrics else None


def _page(
    workspace: Workspace, candidate: EvaluationResults, champion: EvaluationResults | None, exposure: TrainingExposure
) -> str:
    margins = Margins().with_changes(workspace.settings.gate)
    examples = example_checks.stored_results(candidate.evaluation.metrics)
    compared = evaluation_results.compare_models(candidate, champion, exposure) if champion else None
    gate = apply_rules(compared, margins, examples) if compared else None
    return html.render_page(
        Subject(candidate.model, candidate.evaluation.metrics),
        Subject(champion.model, champion.evaluation.metrics) if champion else None,
        rule_results=gate.as_json()["rule_results"] if gate else (),
        verdict=gate.verdict if gate else "",
    )
