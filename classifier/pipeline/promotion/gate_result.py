"""Put a candidate beside the champion, on the same test articles, and say whether it has earned promotion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from classifier import registry
from classifier.articles import Model
from classifier.evaluation import gate
from classifier.evaluation.gate import GateVerdict
from classifier.evaluation.margins import Margins
from classifier.exceptions import NotEvaluatedError
from classifier.pipeline.promotion import evaluation, evaluation_results, training_exposure
from classifier.pipeline.promotion.evaluation_results import EvaluationResults
from classifier.pipeline.promotion.model_files import uses_model
from classifier.pipeline.use_case import use_case
from classifier.store import evaluations, reads
from classifier.training import data_snapshot
from classifier.workspace import Workspace

ATTEMPTS = 3
"""Measurements of both models, while test articles or annotations keep changing between them."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """The gate's judgement of a model; `champion` is whom it was compared with, None for a first model.

    `evaluation_ids` are the model's and the champion's, and `test_articles` those that counted.
    """

    model: str
    champion: str | None
    judgement: GateVerdict
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
@uses_model
def apply_gate(workspace: Workspace, name: str | None = None, *, margins: Margins | None = None) -> GateResult:
    """Judge a model (the newest by default); without margins, by those of the settings. Nothing is decided.

    A model that was not measured on the test articles as they are now is evaluated again first, so annotations
    that came since count. If they change again between the two evaluations, both are measured again.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: it has not been evaluated.
        NotComparableError: the articles changed at each of several attempts.
        TrainingDataError: a model was trained on all of them.
    """
    margins = margins or Margins().with_changes(workspace.settings.gate)
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        champion = reads.champion(connection)
        if reads.newest_evaluation(connection, model.id) is None:
            raise NotEvaluatedError(f"{model.name}: not evaluated yet; run: classifier evaluate {model.name}")
    if champion is not None and champion.id == model.id:
        champion = None  # what it would be as a first model
    pair = [model] if champion is None else [model, champion]
    for one in pair:
        registry.open_artefact(one)  # its files must be what they were when it was evaluated
    for _ in range(ATTEMPTS):
        _measure_again(workspace, pair)
        with workspace.database.connect() as connection:
            answered = [evaluation_results.newest_results(connection, one) for one in pair]
        if evaluation_results.same_articles(answered[0], answered[-1]):
            break
    return _judge(workspace, pair, answered, margins)


@use_case
def read_gate_result(workspace: Workspace, name: str, *, margins: Margins) -> GateResult:
    """Judge a model and the champion by their newest evaluations as they are stored; nothing is measured.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: it, or the champion, has not been evaluated.
        NotComparableError: the two evaluations are not of the same articles.
    """
    with workspace.database.connect() as connection:
        model, champion = registry.find(connection, name), reads.champion(connection)
        pair = [model] if champion is None or champion.id == model.id else [model, champion]
        answered = [evaluation_results.newest_results(connection, one) for one in pair]
    return _judge(workspace, pair, answered, margins)


def _judge(workspace: Workspace, pair: list[Model], answered: list[EvaluationResults], margins: Margins) -> GateResult:
    with workspace.database.connect() as connection:
        exposure = training_exposure.find_exposure(connection, pair, answered[0].articles)
    contest = evaluation_results.compare_models(answered[0], answered[1] if answered[1:] else None, exposure)
    return GateResult(
        pair[0].name,
        pair[1].name if pair[1:] else None,
        gate.apply_rules(contest, margins),
        tuple(one.evaluation.id for one in answered),
        len(contest.sample),
    )


def _measure_again(workspace: Workspace, models: list[Model]) -> None:
    with workspace.database.connect() as connection:
        now = data_snapshot.sha256(reads.stream_annotated_articles(connection, "test"))
        stale = []
        for model in models:
            found = reads.newest_evaluation(connection, model.id)
            if found is None or found.data_sha256 != now or not evaluations.has_predictions(connection, found.id):
                stale.append(model.name)
    for name in stale:
        evaluation.evaluate(workspace, name)
