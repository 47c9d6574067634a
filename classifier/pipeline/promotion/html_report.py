"""Write a model's evaluation as an HTML page, beside the champion where both answered the same articles."""

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
from classifier.pipeline.promotion import evaluation_results, training_exposure
from classifier.pipeline.promotion.evaluation_results import EvaluationResults
from classifier.pipeline.promotion.training_exposure import TrainingExposure
from classifier.pipeline.use_case import use_case
from classifier.store import evaluations, model_rows, promotions
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where the page is, and who stands in it."""

    page: str
    model: str
    champion: str | None


@use_case
def write_report(workspace: Workspace, name: str | None = None, *, out: Path | None = None) -> WrittenReport:
    """Write the page of a model's last evaluation (the newest model by default), beside the model without `out`.

    Nothing is measured again: it shows what was stored.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: it has not been evaluated.
        SettingsError: the file cannot be written.
    """
    if out is not None and not out.parent.is_dir():
        raise SettingsError(f"{out.parent}: no such folder; name another file with --out")
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        candidate = evaluation_results.newest_results(connection, model)
        other = model_rows.champion(connection)
        champion = _beside(connection, candidate, other) if other and other.id != model.id else None
        pair = [model, other] if other and champion else [model]
        exposure = training_exposure.find_exposure(connection, pair, candidate.articles)
    artefact = Path(model.artefact)
    path = out or artefact.with_name(f"{artefact.name}.evaluation.html")
    try:
        atomic_files.write(path, _page(workspace, candidate, champion, exposure).encode())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}; name another file with --out") from error
    return WrittenReport(str(path), model.name, champion.model if champion else None)


def _beside(connection: Connection, candidate: EvaluationResults, champion: Model) -> EvaluationResults | None:
    """Return the champion's newest evaluation if both answered the same articles.

    The figures of each leave out the articles that it was trained on, so they may be of fewer.
    """
    try:
        found = evaluation_results.newest_results(connection, champion)
    except NotEvaluatedError:
        return None
    return found if evaluation_results.same_articles(candidate, found) else None


@dataclass(frozen=True, slots=True)
class StoredReport:
    """What is known of a model's evaluation without computing anything.

    `model` is None where it has not been evaluated, `champion` where it is the champion itself or answered other
    articles; the figures of each leave out the articles that it was trained on. `findings` and `verdict` are the
    gate's, of the last time that it was asked.
    """

    model: Subject | None
    champion: Subject | None
    findings: tuple[Mapping[str, Any], ...]
    verdict: str


@use_case
def read_report(workspace: Workspace, name: str) -> StoredReport:
    """Return a model's last evaluation on the test split, and the champion's where both can be compared.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    with workspace.database.connect() as connection:
        model, champion = registry.find(connection, name), model_rows.champion(connection)
        mine = evaluations.newest(connection, model.id)
        theirs = evaluations.newest(connection, champion.id) if champion and champion.id != model.id else None
        asked = [row.statistics for row in promotions.of_model(connection, model.id) if row.statistics]
    comparable = mine is not None and theirs is not None and mine.data_sha256 == theirs.data_sha256
    last = asked[-1] if asked else {}
    return StoredReport(
        _subject(model, mine),
        _subject(champion, theirs) if champion and comparable else None,
        tuple(last.get("findings", ())),
        last.get("verdict", ""),
    )


def _subject(model: Model, evaluation: Row[*tuple[Any, ...]] | None) -> Subject | None:
    """Return an evaluation, None where there is none or it is of a version that kept less."""
    return Subject(model.name, evaluation.metrics) if evaluation and "report" in evaluation.metrics else None


def _page(
    workspace: Workspace, candidate: EvaluationResults, champion: EvaluationResults | None, exposure: TrainingExposure
) -> str:
    margins = Margins().with_changes(workspace.settings.gate)
    judgement = (
        apply_rules(evaluation_results.compare_models(candidate, champion, exposure), margins) if champion else None
    )
    return html.render_page(
        Subject(candidate.model, candidate.evaluation.metrics),
        Subject(champion.model, champion.evaluation.metrics) if champion else None,
        findings=judgement.as_json()["findings"] if judgement else (),
        verdict=judgement.verdict if judgement else "",
    )
