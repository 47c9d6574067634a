"""Decide whether a candidate becomes the champion, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from classifier import registry
from classifier.articles import Model
from classifier.evaluation.gate import Verdict
from classifier.evaluation.margins import Margins
from classifier.exceptions import NoChampionError, OutdatedQuestionError
from classifier.pipeline.promotion import gate_result
from classifier.pipeline.promotion.gate_result import GateResult
from classifier.pipeline.use_case import use_case
from classifier.registry import Decision
from classifier.store import evaluations, labelling_queue, model_rows
from classifier.workspace import Workspace

DECIDED: Mapping[Verdict, registry.Verdict] = {
    "promote": "promoted",
    "hold": "held",
    "need more annotations": "undecided",
}
"""The decision for each verdict of the gate; an undecided model stays a candidate."""


@dataclass(frozen=True, slots=True)
class PromotionQuestion:
    """The question that an approver was asked: the evaluations, the champion at that time, and the gate's verdict."""

    evaluation_ids: tuple[int, ...]
    champion: str | None
    verdict: Verdict


BATCH_SIZE = 10_000
"""Rows of the queue that one transaction reads."""


@use_case
def promote_if_better(
    workspace: Workspace,
    name: str | None = None,
    *,
    margins: Margins | None = None,
    decided_by: str = "classifier promote",
    more: Mapping[str, Any] | None = None,
    question: PromotionQuestion | None = None,
) -> Decision:
    """Promote a model (the newest by default) if it passes the gate; `more` is stored with the gate's statistics.

    The gate computes for seconds before the transaction that decides. If the champion changes meanwhile, or either
    model is evaluated again, the gate is applied again. If an approver was asked a question, the decision answers that
    question, or an error is raised.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: the candidate is not evaluated.
        NotComparableError: cannot evaluate candidate and champion on the same articles.
        OutdatedQuestionError: the champion, an evaluation or the verdict has changed since the question.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
    if model.status == "champion":
        return Decision(
            model.name, promoted=False, reason=registry.ALREADY_CHAMPION, previous=model.name, verdict="promoted"
        )
    if question is not None:
        return _decide_on(workspace, model, question, margins, decided_by, more or {})
    while True:
        result = gate_result.apply_gate(workspace, model.name, margins=margins)
        decision = _decide(workspace, result, decided_by, more or {})
        if decision is not None:
            return decision


def _decide_on(
    workspace: Workspace,
    model: Model,
    question: PromotionQuestion,
    margins: Margins | None,
    decided_by: str,
    more: Mapping[str, Any],
) -> Decision:
    """Decide on a question by the stored evaluations, so that newer annotations do not count."""
    with workspace.database.connect() as connection:
        champion = model_rows.champion(connection)
        holds = _holds(connection, question, model, champion)
    if holds:
        margins = margins or Margins().with_changes(workspace.settings.gate)
        result = gate_result.read_gate_result(workspace, model.name, margins=margins)
        holds = result.gate.verdict == question.verdict
    decision = _decide(workspace, result, decided_by, more) if holds else None
    if decision is None:
        raise OutdatedQuestionError(
            f"{model.name}: the question is outdated ({question.verdict!r}, compared with "
            f"{question.champion or 'no champion'}): the champion, an evaluation or the verdict has changed; run "
            "retrain_classifier again for this model"
        )
    return decision


def _decide(workspace: Workspace, result: GateResult, decided_by: str, more: Mapping[str, Any]) -> Decision | None:
    with workspace.database.begin() as connection:
        model_rows.lock_champion(connection)
        champion = model_rows.champion(connection)
        model = registry.find(connection, result.model)
        if champion != model and not _holds(connection, result, model, champion):
            return None
        registry.open_artefact(model)  # its files may have changed since the gate, which evaluates for hours, read them
        return registry.decide(
            connection,
            model,
            DECIDED[result.gate.verdict],
            "; ".join(result.gate.reasons),
            decided_by=decided_by,
            statistics={**result.as_json(), **more},
        )


def _holds(connection: Connection, asked: GateResult | PromotionQuestion, model: Model, champion: Model | None) -> bool:
    """Return whether the champion and both newest evaluations are still those of the result or question."""
    pair = [model] if champion is None else [model, champion]
    newest = [evaluations.newest(connection, member.id) for member in pair]
    ids = tuple(evaluation.id for evaluation in newest if evaluation is not None)
    return (champion.name if champion else None) == asked.champion and ids == asked.evaluation_ids


@use_case
def decline(workspace: Workspace, name: str, *, reason: str, decided_by: str) -> Decision:
    """Reject a candidate whatever the gate's verdict, and store the user and the reason.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    with workspace.database.begin() as connection:
        model_rows.lock_champion(connection)
        model = registry.find(connection, name)
        return registry.decide(connection, model, "held", reason, decided_by=decided_by, statistics={})


@use_case
def roll_back(
    workspace: Workspace, to: str | None = None, *, reason: str = "", decided_by: str = "classifier rollback"
) -> Decision:
    """Make a former champion (by default the previous one) champion again, in one transaction.

    Its labels show at once, since the view follows the champion and labels are kept. Articles that arrived since are
    its backlog, which the next labelling enqueues. Afterwards, articles that wait only for the other model's label are
    removed from the queue. If this is interrupted, they are labelled once more.

    Raises:
        NoChampionError: no model has been promoted yet.
        RollbackError: there is no former champion, or the named model was never champion.
        ArtefactError: its files differ from the registered ones, so it could not label.
    """
    with workspace.database.begin() as connection:
        decision = registry.roll_back(connection, to, reason or "no reason given", decided_by=decided_by)
    _drop_labelled(workspace)
    return decision


def _drop_labelled(workspace: Workspace) -> None:
    """Remove articles from the queue that the champion has labelled, a batch in each transaction.

    Each transaction holds the champion's lock. So if another model is promoted meanwhile, the articles that wait for it
    stay in the queue.
    """
    after: int | None = 0
    while after is not None:
        with workspace.database.begin() as connection:
            model_rows.lock_champion(connection)
            champion = model_rows.champion(connection)
            if champion is None:
                raise NoChampionError
            after = labelling_queue.dequeue_labelled(connection, champion.id, after=after, size=BATCH_SIZE)
