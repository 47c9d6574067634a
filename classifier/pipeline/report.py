"""Write a model's evaluation as an HTML page, beside the champion where both answered the same articles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from classifier import registry
from classifier.evaluation.gate import judge
from classifier.evaluation.margins import Margins
from classifier.evaluation.page import html
from classifier.evaluation.page.html import Subject
from classifier.exceptions import SettingsError
from classifier.pipeline import answers
from classifier.pipeline.answers import Answered
from classifier.pipeline.use_case import use_case
from classifier.store import reads
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Reported:
    """Where the page is, and who stands in it."""

    page: str
    model: str
    champion: str | None


@use_case
def run(workspace: Workspace, name: str | None = None, *, out: Path | None = None) -> Reported:
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
        candidate = answers.newest(connection, model)
        other = reads.champion(connection)
        evaluation = reads.newest_evaluation(connection, other.id) if other and other.id != model.id else None
        champion = None
        if other and evaluation is not None and evaluation.data_sha256 == candidate.evaluation.data_sha256:
            champion = answers.newest(connection, other)
    artefact = Path(model.artefact)
    path = out or artefact.with_name(f"{artefact.name}.evaluation.html")
    try:
        path.write_text(_page(workspace, candidate, champion), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}; name another file with --out") from error
    return Reported(str(path), model.name, champion.model if champion else None)


def _page(workspace: Workspace, candidate: Answered, champion: Answered | None) -> str:
    margins = Margins().with_changes(workspace.settings.gate)
    judgement = judge(answers.contest(candidate, champion), margins) if champion else None
    return html.page(
        Subject(candidate.model, candidate.evaluation.metrics),
        Subject(champion.model, champion.evaluation.metrics) if champion else None,
        findings=judgement.as_json()["findings"] if judgement else (),
        verdict=judgement.verdict if judgement else "",
    )
