"""Erase articles everywhere: from the database, and from the files of models and unfinished trainings.

The digests are stored first, so that no ingest brings an article back. Then come the files, and the database's rows
last. So the rows name the articles until all else is done, and the same command resumes after a crash.
"""

from __future__ import annotations

import getpass
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from classifier.exceptions import ErasureError
from classifier.ingest.fingerprints import fingerprint
from classifier.ingest.rejected_rows import MAX_ROW_LENGTH
from classifier.pipeline.erasure import article_copies, compaction, digests, model_files, near_duplicates, tombstones
from classifier.pipeline.erasure.digests import Digests
from classifier.pipeline.erasure.model_files import CopiedArticles, TrainedModels
from classifier.pipeline.erasure.selection import Kind, Selection, find_ids
from classifier.pipeline.use_case import use_case
from classifier.store import erasures, near_duplicate_clusters, roles, task_rows
from classifier.store.annotated_articles import input_hash
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

BATCH_SIZE = 1000
"""Articles that one transaction deletes."""

_MIN_BEGINNING = 20
"""Characters below which the beginning of a text tells nothing about a row that was cut."""

_NAME = "erasure"
"""What an ingest that waits names in its error."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased or, if `done` is false, what would be erased: the number of articles, and of rows by table.

    `models` were trained on the articles, or started from such a model: their weights cannot be rewritten. The files of
    `models_not_found` are not on this machine. `checkpoints` counts the unfinished trainings whose files were deleted.
    `before` says that the articles had been erased before, and `rewritten` that no deleted row is in the tables' files.
    """

    articles: int
    rows: dict[str, int]
    models: tuple[str, ...]
    models_not_found: tuple[str, ...] = ()
    checkpoints: int = 0
    receipt: int | None = None
    done: bool = False
    before: bool = False
    rewritten: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """The articles to erase, with digests to add besides theirs; `key` is the key of these digests."""

    kind: Kind
    ids: list[int]
    key: Digests | None = None
    digests: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class _Erasure:
    """An erasure in progress."""

    workspace: Workspace
    receipt: int
    ids: list[int]
    copied: CopiedArticles
    rows: Counter[str] = field(default_factory=Counter)


@use_case
def erase(
    workspace: Workspace,
    selection: Selection,
    *,
    yes: bool = False,
    rewrite: bool | None = None,
    on_articles: Callable[[int], None] = lambda _: None,
) -> Erased:
    """Erase the selected articles everywhere; without `yes`, only return what would be erased.

    Interrupted erasures are finished as well. `rewrite` writes the tables into new files, by default only those of the
    embedded server. `on_articles` is called with the number of articles of each batch.

    Raises:
        ErasureError: no article is selected, or a training is running.
        DatabaseRightsError: the role does not own the tables.
    """
    ids = find_ids(workspace, selection)
    if not ids and not (yes and _is_unfinished(workspace)):
        if selection.external_ids and _were_erased(workspace, selection):
            return Erased(0, {}, (), before=True)
        raise ErasureError(f"{_describe(selection)}: no such article; nothing was erased")
    request = Request(selection.kind, ids)
    return carry_out(workspace, request, on_articles, rewrite=rewrite) if yes else preview(workspace, request)


def preview(workspace: Workspace, request: Request) -> Erased:
    """Return what would be erased. Nothing is changed."""
    with workspace.database.connect() as connection:
        rows = erasures.count_rows(connection, request.ids)
        copied = _copied_articles(connection, request.ids)
        copies_of = _Copies.of(erasures.identities(connection, request.ids))
        rows["rejected_rows"] = sum(1 for _ in copies_of.rejected_rows(connection))
    trained = model_files.find_trained(workspace, copied)
    return Erased(rows.pop("articles"), rows, trained.trained, trained.not_found)


def carry_out(
    workspace: Workspace,
    request: Request,
    on_articles: Callable[[int], None] = lambda _: None,
    *,
    rewrite: bool | None = None,
) -> Erased:
    """Erase the articles of a request, and return what was erased."""
    with workspace.database.connect() as connection:
        roles.require_owner(connection)
    with article_copies.no_copies(workspace):
        erasure = _keep_out(workspace, request)
        models = _erase_files(erasure)
        checkpoints = _erase_checkpoints(erasure)
        _erase_rejected_rows(erasure)
        for first in range(0, len(erasure.ids), BATCH_SIZE):
            batch = erasure.ids[first : first + BATCH_SIZE]
            _erase_batch(erasure, batch)
            on_articles(len(batch))
        _delete_unused_categories(workspace)
        with workspace.database.begin() as connection:
            erasures.refresh_statistics(connection)
        rewritten = compaction.compact(workspace, rewrite=rewrite)
        with workspace.database.begin() as connection:
            erasures.finish(connection)
    log.info("erased %d articles", len(erasure.ids))
    return Erased(
        articles=len(erasure.ids),
        rows=dict(erasure.rows),
        models=models.trained,
        models_not_found=models.not_found,
        checkpoints=checkpoints,
        receipt=erasure.receipt,
        done=True,
        rewritten=rewritten,
    )


def _keep_out(workspace: Workspace, request: Request) -> _Erasure:
    """Store the digests and the receipt. From now on, ingests leave the articles out.

    Ingests wait, so that none of them changes an article between the reading of its text and the commit.
    """
    with workspace.database.begin() as connection:
        near_duplicate_clusters.wait_for_other_ingests(connection, _NAME)
        key = request.key or digests.find_or_create(connection, workspace.settings.erasure_key)
        unfinished = erasures.unfinished_digests(connection)
        ids = sorted({*request.ids, *(matching_articles(connection, key, unfinished) if unfinished else ())})
        receipt = erasures.start(connection, request.kind, getpass.getuser())
        copied = _copied_articles(connection, ids)
        new = set(request.digests) | {key.of_text(text) for text in copied.fingerprints}
        new |= {key.of_article(row.source, row.external_id) for row in erasures.identities(connection, ids)}
        erasures.add_digests(connection, receipt, sorted(new))
    return _Erasure(workspace, receipt, ids, copied)


def matching_articles(connection: Connection, key: Digests, erased: Iterable[bytes]) -> list[int]:
    """Return the articles whose id or text has one of the digests."""
    targets = frozenset(erased)
    return [
        row.id
        for row in erasures.all_identities(connection)
        if key.of_article(row.source, row.external_id) in targets or key.of_text(bytes(row.fingerprint)) in targets
    ]


def _copied_articles(connection: Connection, ids: Sequence[int]) -> CopiedArticles:
    """Return the ids, and the hashes of the texts that no other article has."""
    rows = erasures.identities(connection, ids)
    shared = erasures.shared_texts(connection, ids, [bytes(row.fingerprint) for row in rows])
    own = [row for row in rows if bytes(row.fingerprint) not in shared]
    return CopiedArticles(
        frozenset(ids),
        frozenset(bytes(row.input_hash) for row in own),
        frozenset(bytes(row.fingerprint) for row in own),
    )


def _erase_files(erasure: _Erasure) -> TrainedModels:
    """Erase the articles from the files of models. The receipt lists the models before their snapshots forget."""
    trained = model_files.find_trained(erasure.workspace, erasure.copied)
    with erasure.workspace.database.begin() as connection:
        models = erasures.add_models(connection, erasure.receipt, trained.trained)
    model_files.erase_from_models(erasure.workspace, erasure.copied)
    return TrainedModels(tuple(models), trained.not_found)


def _erase_checkpoints(erasure: _Erasure) -> int:
    with erasure.workspace.database.connect() as connection:
        if not erasures.may_be_trained_on(connection, erasure.ids):
            return 0
    return model_files.delete_checkpoints(erasure.workspace)


@dataclass(frozen=True, slots=True)
class _Copies:
    """What a copy of an erased article may hold: its source and id, its text, or the beginning of its text, as JSON."""

    articles: frozenset[tuple[str, str]]
    fingerprints: frozenset[bytes]
    beginnings: frozenset[str]

    @classmethod
    def of(cls, rows: Iterable[Any]) -> _Copies:
        """Return what copies of these articles may hold."""
        read = list(rows)
        beginnings = (row.beginning for row in read if len(row.beginning) >= _MIN_BEGINNING)
        return cls(
            frozenset((row.source, row.external_id) for row in read),
            frozenset(bytes(row.fingerprint) for row in read),
            frozenset(json.dumps(beginning, ensure_ascii=False)[1:-1] for beginning in beginnings),
        )

    def rejected_rows(self, connection: Connection) -> Iterator[int]:
        """Yield the ids of the rejected rows that copy one of the articles."""
        for row in erasures.rejected_rows(connection):
            values = tombstones.values_of(row.position, row.row)
            is_copy = any(
                (row.source, value.strip()) in self.articles or fingerprint(value) in self.fingerprints
                for value in values
            )
            if is_copy or (len(row.row) >= MAX_ROW_LENGTH and any(part in row.row for part in self.beginnings)):
                yield row.id


def _erase_rejected_rows(erasure: _Erasure) -> None:
    with erasure.workspace.database.begin() as connection:
        copies_of = _Copies.of(erasures.identities(connection, erasure.ids))
        copies = list(copies_of.rejected_rows(connection))
        deleted = erasures.delete_rejected_rows(connection, copies)
        erasure.rows["rejected_rows"] += deleted
        erasures.count(connection, erasure.receipt, 0, {"rejected_rows": deleted})


def _erase_batch(erasure: _Erasure, ids: Sequence[int]) -> None:
    """Delete a batch of articles with all that belongs to them, in one transaction."""
    with erasure.workspace.database.begin() as connection:
        near_duplicate_clusters.wait_for_other_ingests(connection, _NAME)
        rows = Counter(erasures.count_rows(connection, ids))
        erasures.leave_queue(connection, ids)
        articles = erasures.articles(connection, ids)
        texts = {bytes(row.fingerprint): row.text for row in articles}
        erasures.drop_mistakes(connection, ids)
        erasures.delete_articles(connection, ids, [input_hash(row) for row in articles])
        rows.update(near_duplicates.forget_texts(connection, texts))
        deleted = rows.pop("articles")
        erasures.count(connection, erasure.receipt, deleted, rows)
    erasure.rows.update(rows)


def _delete_unused_categories(workspace: Workspace) -> None:
    """Delete the categories that only erased articles had: one may be a person's name."""
    with workspace.database.begin() as connection:
        task_rows.delete_unused_categories(connection)


def _is_unfinished(workspace: Workspace) -> bool:
    with workspace.database.connect() as connection:
        return bool(erasures.unfinished_digests(connection))


def _were_erased(workspace: Workspace, selection: Selection) -> bool:
    """Return whether one of the ids, of the named source, has been erased. Without a source, ids cannot be checked."""
    with workspace.database.connect() as connection:
        key = digests.find(connection, workspace.settings.erasure_key)
        if key is None or selection.source is None:
            return False
        named = [key.of_article(selection.source, external_id) for external_id in selection.external_ids]
        return bool(erasures.erased(connection, named))


def _describe(selection: Selection) -> str:
    if selection.query is not None:
        return str(selection.query)
    of_source = f"source {selection.source!r}" if selection.source is not None else ""
    ids = f"id {', '.join(map(repr, selection.external_ids[:5]))}" if selection.external_ids else ""
    return ", ".join(filter(None, (of_source, ids)))
