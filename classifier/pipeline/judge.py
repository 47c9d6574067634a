"""Put a candidate beside the champion, on the same test articles, and say whether it has earned promotion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from classifier import registry
from classifier.articles import Model
from classifier.evaluation import gate
from classifier.evaluation.gate import Judgement
from classifier.evaluation.margins import Margins
from classifier.exceptions import NotEvaluatedError
from classifier.pipeline import answers, evaluate
from classifier.pipeline.use_case import use_case
from classifier.store import evaluations, reads
from classifier.training import snapshot
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Judged:
    """The gate's judgement of a model; `champion` is whom it was compared with, None for a first model."""

    model: str
    champion: str | None
    judgement: Judgement
    evaluation_ids: tuple[int, ...]
    test_articles: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "model": self.model,
            "champion": self.champion,
            "evaluation_ids": self.evaluation_ids,
            "test_articles": self.test_articles,
            **self.judgement.as_json(),
        }


@use_case
def run(workspace: Workspace, name: str | None = None, *, margins: Margins | None = None) -> Judged:
    """Judge a model (the newest by default); without margins, by those of the settings. Nothing is decided.

    Whoever was not measured on the test articles as they are now is evaluated again first, so annotations
    that came since count.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: it has not been evaluated.
    """
    margins = margins or Margins().with_changes(workspace.settings.gate)
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        champion = reads.champion(connection)
        if reads.newest_evaluation(connection, model.id) is None:
            raise NotEvaluatedError(f"{model.name}: not evaluated yet; run: classifier evaluate --model {model.name}")
    if champion is not None and champion.id == model.id:
        champion = None  # what it would be as a first model
    pair = [model] if champion is None else [model, champion]
    for one in pair:
        registry.open_artefact(one)  # its files must be what they were when it was evaluated
    _measure_again(workspace, pair)
    with workspace.database.connect() as connection:
        answered = [answers.newest(connection, one) for one in pair]
    contest = answers.contest(answered[0], answered[1] if champion else None)
    return Judged(
        model.name,
        champion.name if champion else None,
        gate.judge(contest, margins),
        tuple(one.evaluation.id for one in answered),
        len(contest.sample),
    )


def _measure_again(workspace: Workspace, models: list[Model]) -> None:
    with workspace.database.connect() as connection:
        now = snapshot.sha256(reads.stream_annotated_articles(connection, "test"))
        stale = []
        for model in models:
            found = reads.newest_evaluation(connection, model.id)
            if found is None or found.data_sha256 != now or not evaluations.has_predictions(connection, found.id):
                stale.append(model.name)
    for name in stale:
        evaluate.run(workspace, name)
