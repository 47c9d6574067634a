"""Apply the gate to a candidate: compare it with the champion on the same test articles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from classifier import registry
from classifier.articles import Model
from classifier.evaluation import gate
from classifier.evaluation.gate import GateVerdict
from classifier.evaluation.margins import Margins
from classifier.exceptions import NotEvaluatedError
from classifier.pipeline.promotion import evaluation, evaluation_results, example_checks, training_exposure
from classifier.pipeline.promotion.evaluation_results import EvaluationResults
from classifier.pipeline.promotion.model_files import uses_model
from classifier.pipeline.use_case import use_case
from classifier.store import annotated_articles, evaluations, model_rows
from classifier.training import data_snapshot
from classifier.workspace import Workspace

ATTEMPTS = 3
"""Largest number of evaluations of both models while test articles or annotations change between the two."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """The gate's verdict on a model; `champion` is the model that it was compared with, None for a first model.

    `evaluation_ids` are the model's and the champion's; `test_articles` is the number of articles that counted.
    """

    model: str
    champion: str | None
    gate: GateVerdict
    evaluation_ids: tuple[int, ...]
    test_articles: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "model": self.model,
            "champion": self.champion,
            "evaluation_ids": self.evaluation_ids,
            "test_articles": self.test_articles,
            **self.gate.as_json(),
        }


@use_case
@uses_model
def apply_gate(workspace: Workspace, name: str | None = None, *, margins: Margins | None = None) -> GateResult:
    """Apply the gate to a model (the newest by default), with the margins of the settings by default. Decide nothing.

    If a model was not evaluated on the current test articles, it is evaluated again first, so that new annotations
    count. If the articles change again between the two evaluations, both models are evaluated again.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: it has not been evaluated.
        NotComparableError: the articles changed during every attempt.
        TrainingDataError: a model was trained on all of the test articles.
    """
    margins = margins or Margins().with_changes(workspace.settings.gate)
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        champion = model_rows.champion(connection)
        if evaluations.newest(connection, model.id) is None:
            raise NotEvaluatedError(f"{model.name}: not evaluated yet; run: classifier evaluate {model.name}")
    if champion is not None and champion.id == model.id:
        champion = None  # judge it like a first model
    pair = [model] if champion is None else [model, champion]
    for member in pair:
        registry.open_artefact(member)  # its files must be those that were evaluated
    for _ in range(ATTEMPTS):
        _evaluate_again(workspace, pair)
        with workspace.database.connect() as connection:
            results = [evaluation_results.newest_results(connection, member) for member in pair]
        if evaluation_results.same_articles(results[0], results[-1]):
            break
    return _apply(workspace, pair, results, margins)


@use_case
def read_gate_result(workspace: Workspace, name: str, *, margins: Margins) -> GateResult:
    """Apply the gate to the newest stored evaluations of a model and the champion; evaluate nothing.

    The must-pass examples are those of now.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: it or the champion is not evaluated.
        NotComparableError: the two evaluations have different articles.
    """
    with workspace.database.connect() as connection:
        model, champion = registry.find(connection, name), model_rows.champion(connection)
        pair = [model] if champion is None or champion.id == model.id else [model, champion]
        results = [evaluation_results.newest_results(connection, member) for member in pair]
    return _apply(workspace, pair, results, margins)


def _apply(workspace: Workspace, pair: list[Model], results: list[EvaluationResults], margins: Margins) -> GateResult:
    with workspace.database.connect() as connection:
        exposure = training_exposure.find_exposure(connection, pair, results[0].articles)
    compared = evaluation_results.compare_models(results[0], results[1] if results[1:] else None, exposure)
    # last, because evaluations may take hours: the examples that exist now decide
    examples = example_checks.check_for_gate(workspace, pair[0], results[0].evaluation.metrics)
    return GateResult(
        pair[0].name,
        pair[1].name if pair[1:] else None,
        gate.apply_rules(compared, margins, examples),
        tuple(result.evaluation.id for result in results),
        len(compared.test_articles),
    )


def _evaluate_again(workspace: Workspace, models: list[Model]) -> None:
    with workspace.database.connect() as connection:
        now = data_snapshot.sha256(annotated_articles.stream_split(connection, "test"))
        stale = []
        for model in models:
            newest = evaluations.newest(connection, model.id)
            if newest is None or newest.data_sha256 != now or not evaluations.has_predictions(connection, newest.id):
                stale.append(model.name)
    for name in stale:
        evaluation.evaluate(workspace, name)
