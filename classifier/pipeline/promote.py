"""Decide whether a candidate becomes the champion, in one transaction."""

from __future__ import annotations

from classifier import registry
from classifier.pipeline import evaluate
from classifier.pipeline.use_case import use_case
from classifier.registry import Decision
from classifier.store import reads
from classifier.workspace import Workspace


@use_case
def run(workspace: Workspace, name: str | None = None, *, decided_by: str = "classifier promote") -> Decision:
    """Promote a model (the newest by default) if its macro-F1 is at least the champion's.

    Where the two were last measured on different test articles, they are evaluated again first.

    Raises:
        ModelNotFoundError: there is no such model.
        NotEvaluatedError: the candidate has not been evaluated.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
    for name_of_one in ("champion", model.name):
        if _measured_apart(workspace, model.id):
            evaluate.run(workspace, name_of_one)
    with workspace.database.begin() as connection:
        # found again inside the transaction: its files must be what they were when it was evaluated
        model = registry.find(connection, model.name)
        registry.open_artefact(model)
        return registry.promote(connection, model, decided_by=decided_by)


def _measured_apart(workspace: Workspace, candidate_id: int) -> bool:
    with workspace.database.connect() as connection:
        champion = reads.champion(connection)
        mine = reads.newest_evaluation(connection, candidate_id)
        if champion is None or champion.id == candidate_id or mine is None:
            return False
        theirs = reads.newest_evaluation(connection, champion.id)
    return theirs is None or theirs.data_sha256 != mine.data_sha256
