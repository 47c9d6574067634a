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
from classifier.store import promotions, reads, writes
from classifier.workspace import Workspace

DECIDED: Mapping[Verdict, registry.Verdict] = {
    "promote": "promoted",
    "hold": "held",
    "need more annotations": "undecided",
}
"""What each verdict of the gate makes of a model; an undecided one stays a candidate."""


@dataclass(frozen=True, slots=True)
class PromotionQuestion:
    """What a person was asked about: the evaluations, the champion then, and the gate's verdict on them."""

    evaluation_ids: tuple[int, ...]
    champion: str | None
    verdict: Verdict


BATCH_SIZE = 10_000
"""Rows of the queue looked at in one transaction."""


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
    """Promote a model (the newest by default) if the gate lets it; `more` is kept with its findings.

    The gate computes for seconds, before the transaction that decides. If another model became champion
    meanwhile, or either was evaluated again, it judges again. With a question that a person was asked, the decision
    is on what was asked, or there is none.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: the candidate has not been evaluated.
        NotComparableError: candidate and champion cannot be measured on the same articles.
        OutdatedQuestionError: the champion, an evaluation or the verdict is another than was asked about.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
    if model.status == "champion":
        return Decision(model.name, promoted=False, reason=registry.AS_IT_IS, previous=model.name, verdict="promoted")
    if question is not None:
        return _decide_on(workspace, model, question, margins, decided_by, more or {})
    while True:
        judged = gate_result.apply_gate(workspace, model.name, margins=margins)
        decision = _decide(workspace, judged, decided_by, more or {})
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
    """Decide on what was asked, by the evaluations as they are stored: annotations that came since do not count."""
    with workspace.database.connect() as connection:
        champion = reads.champion(connection)
        holds = _holds(connection, question, model, champion)
    if holds:
        margins = margins or Margins().with_changes(workspace.settings.gate)
        judged = gate_result.read_gate_result(workspace, model.name, margins=margins)
        holds = judged.gate.verdict == question.verdict
    decision = _decide(workspace, judged, decided_by, more) if holds else None
    if decision is None:
        raise OutdatedQuestionError(
            f"{model.name}: what was asked, {question.verdict!r} beside {question.champion or 'no champion'}, does not "
            "hold any more: the champion, an evaluation or the verdict is another now; judge it again and ask anew"
        )
    return decision


def _decide(workspace: Workspace, judged: GateResult, decided_by: str, more: Mapping[str, Any]) -> Decision | None:
    with workspace.database.begin() as connection:
        writes.lock_champion(connection)
        champion = reads.champion(connection)
        model = registry.find(connection, judged.model)
        if champion != model and not _holds(connection, judged, model, champion):
            return None
        registry.open_artefact(model)
        return registry.decide(
            connection,
            model,
            DECIDED[judged.gate.verdict],
            "; ".join(judged.gate.reasons),
            decided_by=decided_by,
            statistics={**judged.as_json(), **more},
        )


def _holds(
    connection: Connection, judged: GateResult | PromotionQuestion, model: Model, champion: Model | None
) -> bool:
    """Return whether the champion, and both newest evaluations, still are those that were judged."""
    pair = [model] if champion is None else [model, champion]
    newest = [reads.newest_evaluation(connection, one.id) for one in pair]
    ids = tuple(found.id for found in newest if found is not None)
    return (champion.name if champion else None) == judged.champion and ids == judged.evaluation_ids


@use_case
def decline(workspace: Workspace, name: str, *, reason: str, decided_by: str) -> Decision:
    """Turn a candidate down whatever the gate says, and keep who did and why.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    with workspace.database.begin() as connection:
        writes.lock_champion(connection)
        model = registry.find(connection, name)
        return registry.decide(connection, model, "held", reason, decided_by=decided_by, statistics={})


@use_case
def roll_back(
    workspace: Workspace, to: str | None = None, *, reason: str = "", decided_by: str = "classifier rollback"
) -> Decision:
    """Make a former champion champion again (by default the one before), in one transaction.

    Its labels show at once, since the view follows the champion and labels are kept. What it has not labelled,
    because it came meanwhile, is its backlog, which the next labelling enqueues. What waits only for the
    other model's label is taken off the queue afterwards; if that is cut short, it is labelled once more.

    Raises:
        NoChampionError: nothing has been promoted yet.
        RollbackError: there is none to go back to, or the named one cannot be.
        ArtefactError: its files are not the registered ones, so it could label nothing.
    """
    with workspace.database.begin() as connection:
        decision = registry.roll_back(connection, to, reason or "no reason was given", decided_by=decided_by)
    _drop_labelled(workspace)
    return decision


def _drop_labelled(workspace: Workspace) -> None:
    """Take off the queue what the champion has labelled, a stretch in each transaction.

    Each transaction holds the lock on who is champion: what waits for a champion that is promoted meanwhile stays.
    """
    after: int | None = 0
    while after is not None:
        with workspace.database.begin() as connection:
            writes.lock_champion(connection)
            champion = reads.champion(connection)
            if champion is None:
                raise NoChampionError
            after = promotions.drop_labelled(connection, champion.id, after=after, size=BATCH_SIZE)
