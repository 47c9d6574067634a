"""Erased articles: digests, receipts, and the rows to delete. Functions take a connection and never commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from classifier.store import tables
from classifier.store.queries import query


def find_key(connection: Connection) -> Row[*tuple[Any, ...]] | None:
    """Return `key` (bytes, or None if it is a setting) and `key_check`, or None if there is no key."""
    return connection.execute(select(tables.erasure_key.c.key, tables.erasure_key.c.key_check)).one_or_none()


def add_key(connection: Connection, key: bytes | None, key_check: bytes) -> None:
    """Store the key, or only its check."""
    connection.execute(insert(tables.erasure_key).values(key=key, key_check=key_check))


def last_erasure(connection: Connection) -> int:
    """Return the id of the last erasure, or 0 if there is none."""
    return int(connection.scalar(select(func.max(tables.erasures.c.id))) or 0)


def start(connection: Connection, selection: str, requested_by: str) -> int:
    """Return the id of an interrupted erasure's receipt, which is continued, else insert a receipt."""
    receipts = tables.erasures
    unfinished = connection.scalar(select(func.max(receipts.c.id)).where(receipts.c.finished_at.is_(None)))
    if unfinished is not None:
        return int(unfinished)
    values = {"selection": selection, "requested_by": requested_by, "rows": {}, "models": []}
    return int(connection.execute(insert(receipts).values(values).returning(receipts.c.id)).scalar_one())


def unfinished_digests(connection: Connection) -> set[bytes]:
    """Return the digests of interrupted erasures."""
    receipts, digests_ = tables.erasures, tables.erased_articles
    statement = select(digests_.c.digest).join(receipts).where(receipts.c.finished_at.is_(None))
    return {bytes(digest) for digest in connection.execute(statement).scalars()}


def add_models(connection: Connection, erasure_id: int, models: Sequence[str]) -> list[str]:
    """Add the models that were trained on the articles to the receipt, and return all that it lists."""
    receipts = tables.erasures
    listed: list[str] = connection.execute(select(receipts.c.models).where(receipts.c.id == erasure_id)).scalar_one()
    models = [*listed, *(name for name in models if name not in listed)]
    connection.execute(update(receipts).where(receipts.c.id == erasure_id).values(models=models))
    return models


def count(connection: Connection, erasure_id: int, articles: int, rows: Mapping[str, int]) -> None:
    """Add a batch's counts to its receipt."""
    values = {"id": erasure_id, "articles": articles, "rows": json.dumps(dict(rows))}
    connection.execute(query("count_erasure"), values)


def finish(connection: Connection) -> None:
    """Mark the receipts of this erasure, and of interrupted ones, as finished."""
    receipts = tables.erasures
    connection.execute(
        update(receipts).where(receipts.c.finished_at.is_(None)).values(finished_at=func.clock_timestamp())
    )


def receipts(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return all receipts, oldest first."""
    return connection.execute(select(tables.erasures).order_by(tables.erasures.c.id)).all()


def digests(connection: Connection) -> Iterator[bytes]:
    """Yield the digests of all erased articles."""
    statement = select(tables.erased_articles.c.digest).order_by(tables.erased_articles.c.digest)
    rows = connection.execute(statement, execution_options={"yield_per": 10_000})
    return (bytes(digest) for digest in rows.scalars())


def erased(connection: Connection, candidates: Sequence[bytes]) -> set[bytes]:
    """Return those of the digests that belong to erased articles."""
    rows = connection.execute(query("erased_digests"), {"digests": list(candidates)})
    return {bytes(digest) for digest in rows.scalars()}


def add_digests(connection: Connection, erasure_id: int, new: Iterable[bytes]) -> None:
    """Insert digests; those that exist stay."""
    connection.execute(query("add_digests"), {"erasure_id": erasure_id, "digests": list(new)})


def ids_by_external_id(connection: Connection, external_ids: Sequence[str], source: str | None) -> list[int]:
    """Return the articles with these external ids."""
    values = {"external_ids": list(external_ids), "source": source}
    return list(connection.execute(query("ids_by_external_id"), values).scalars())


def ids_by_source(connection: Connection, source: str) -> list[int]:
    """Return the articles of a source."""
    return list(connection.execute(query("ids_by_source"), {"source": source}).scalars())


def all_identities(connection: Connection) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield id, source, external_id and fingerprint of every article."""
    return iter(connection.execute(query("all_article_identities"), execution_options={"yield_per": 10_000}))


def identities(connection: Connection, ids: Sequence[int]) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return id, source, external_id, fingerprint, beginning and input_hash of those of the ids that are articles."""
    return connection.execute(query("article_identities"), {"ids": list(ids)}).all()


def shared_texts(connection: Connection, ids: Sequence[int], fingerprints: Sequence[bytes]) -> set[bytes]:
    """Return those of the texts that an article besides these has."""
    values = {"ids": list(ids), "fingerprints": list(fingerprints)}
    return {bytes(value) for value in connection.execute(query("texts_of_other_articles"), values).scalars()}


def articles(connection: Connection, ids: Sequence[int]) -> Sequence[Row[*tuple[Any, ...]]]:
    """Lock and return articles with id, source, external_id, title, text, text_hash and fingerprint."""
    return connection.execute(query("articles_to_erase"), {"ids": list(ids)}).all()


def count_rows(connection: Connection, ids: Sequence[int]) -> dict[str, int]:
    """Return the number of rows that belong to the articles, by table."""
    return dict(connection.execute(query("count_dependent_rows"), {"ids": list(ids)}).mappings().one())


def may_be_trained_on(connection: Connection, ids: Sequence[int]) -> bool:
    """Return whether a training may have read one of the articles."""
    return bool(connection.scalar(query("annotated_outside_test"), {"ids": list(ids)}))


def leave_queue(connection: Connection, ids: Sequence[int]) -> None:
    """Delete the articles from the labelling queue, after the workers that are labelling them."""
    connection.execute(query("leave_queue"), {"ids": list(ids)})


def delete_articles(connection: Connection, ids: Sequence[int], input_hashes: Sequence[bytes]) -> None:
    """Delete articles with all rows that belong to them, and the outputs of unfinished evaluations for their texts."""
    connection.execute(query("delete_articles"), {"ids": list(ids)})
    connection.execute(query("delete_progress_of_texts"), {"hashes": list(input_hashes)})


def rejected_rows(connection: Connection) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield id, source, position and row of every rejected row."""
    return iter(connection.execute(query("rejected_row_contents"), execution_options={"yield_per": 1000}))


def delete_rejected_rows(connection: Connection, ids: Sequence[int]) -> int:
    """Delete rejected rows, and return their number."""
    return connection.execute(query("delete_rejected_rows"), {"ids": list(ids)}).rowcount


def drop_mistakes(connection: Connection, ids: Sequence[int]) -> None:
    """Delete the articles from the mistakes that evaluations list."""
    dropped, evaluations = set(ids), tables.evaluations
    for row in connection.execute(query("evaluations_that_list"), {"ids": list(ids)}).all():
        report = row.metrics["report"]
        kept = [mistake for mistake in report["mistakes"] if mistake["article"] not in dropped]
        metrics = {**row.metrics, "report": {**report, "mistakes": kept}}
        connection.execute(update(evaluations).where(evaluations.c.id == row.id).values(metrics=metrics))


def refresh_statistics(connection: Connection) -> None:
    """Replace the planner's statistics, which hold examples of ids and texts."""
    connection.execute(query("analyze_tables"))


def registered_models(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return id, name, artefact, manifest_sha256 and start (the model it started from) of models that have files."""
    return connection.execute(query("registered_models")).all()


def set_manifest(connection: Connection, model_id: int, former_sha256: str, values: Mapping[str, str]) -> bool:
    """Register a model's new manifest: `manifest_sha256`, `file` and `file_sha256` of its snapshot.

    Return False if the registered manifest is not the former one.
    """
    parameters = {"id": model_id, "former_sha256": former_sha256, **values}
    return connection.execute(query("set_manifest"), parameters).rowcount == 1
