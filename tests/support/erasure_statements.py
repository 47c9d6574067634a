"""A call of every function of the store that erases articles, undoes ingests or retracts annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from classifier.store import annotation_rows, article_copies, erased_texts, erasures, undo
from classifier.store.annotation_rows import AnnotationFilter
from classifier.store.queries import query

CHUNK = 100


def _lock_copies(c: Connection, _: Any) -> None:
    article_copies.share(c)
    article_copies.release_shared(c)
    assert article_copies.try_own(c)
    article_copies.release(c)


def _compact(c: Connection, _: Any) -> None:
    for name in ("data_directory", "count_log_files", "reload_settings", "end_log_file"):
        c.execute(query(name))


def _receipt(c: Connection, _: Any) -> None:
    erasures.add_key(c, None, b"check")
    receipt = erasures.start(c, "id", "a")
    erasures.add_digests(c, receipt, [b"digest"])
    erasures.unfinished_digests(c)
    erasures.add_models(c, receipt, ["m1"])
    erasures.count(c, receipt, 1, {"articles": 1})
    list(erasures.digests(c))
    erasures.refresh_statistics(c)
    erasures.finish(c)
    erasures.receipts(c)


ERASURE: Mapping[str, Callable[[Connection, Any], Any]] = {
    "erasures.find_key": lambda c, _: erasures.find_key(c),
    "erasures.last_erasure": lambda c, _: erasures.last_erasure(c),
    "erasures.erased": lambda c, _: erasures.erased(c, [b"digest"] * CHUNK),
    "erasures.ids_by_external_id": lambda c, _: erasures.ids_by_external_id(c, ["a1"], None),
    "erasures.ids_by_external_id of a source": lambda c, _: erasures.ids_by_external_id(c, ["a1"], "synthetic"),
    "erasures.ids_by_source": lambda c, _: erasures.ids_by_source(c, "synthetic"),
    "erasures.all_identities": lambda c, _: list(erasures.all_identities(c)),
    "erasures.identities": lambda c, d: erasures.identities(c, d.ids(CHUNK)),
    "erasures.shared_texts": lambda c, d: erasures.shared_texts(c, d.ids(CHUNK), d.fingerprints(CHUNK)),
    "erasures.articles": lambda c, d: erasures.articles(c, d.ids(CHUNK)),
    "erasures.count_rows": lambda c, d: erasures.count_rows(c, d.ids(CHUNK)),
    "erasures.may_be_trained_on": lambda c, d: erasures.may_be_trained_on(c, d.ids(CHUNK)),
    "erasures.rejected_rows": lambda c, _: list(erasures.rejected_rows(c)),
    "erasures.delete_rejected_rows": lambda c, _: erasures.delete_rejected_rows(c, [1]),
    "erasures.drop_mistakes": lambda c, d: erasures.drop_mistakes(c, d.ids(CHUNK)),
    "erasures.registered_models": lambda c, _: erasures.registered_models(c),
    "erasures.set_manifest": lambda c, d: erasures.set_manifest(
        c, d.champion.id, "none", {"manifest_sha256": "a", "file": "b", "file_sha256": "c"}
    ),
    "erasures.leave_queue": lambda c, d: erasures.leave_queue(c, d.ids(CHUNK)),
    "erasures.delete_articles": lambda c, d: erasures.delete_articles(c, d.ids(3), d.fingerprints(3)),
    "a receipt": _receipt,
    "article_copies": _lock_copies,
    "compaction": _compact,
    "erased_texts.without_article": lambda c, d: erased_texts.without_article(c, d.fingerprints(CHUNK)),
    "erased_texts.clusters_of": lambda c, d: erased_texts.clusters_of(c, d.fingerprints(CHUNK)),
    "erased_texts.remaining_texts": lambda c, _: list(erased_texts.remaining_texts(c, [1, 2, 3])),
    "erased_texts.empty_clusters": lambda c, _: erased_texts.empty_clusters(c, [1, 2, 3]),
    "erased_texts.delete_bands": lambda c, _: erased_texts.delete_bands(c, [1, 2, 3], [1]),
    "erased_texts.delete_splits": lambda c, d: erased_texts.delete_splits(c, d.fingerprints(CHUNK)),
    "erased_texts.delete_clusters": lambda c, _: erased_texts.delete_clusters(c, [1, 2, 3]),
    "undo.find_run": lambda c, _: undo.find_run(c, 1),
    "undo.articles_of": lambda c, _: undo.articles_of(c, 1),
    "undo.lock_articles": lambda c, d: undo.lock_articles(c, d.ids(CHUNK)),
    "undo.count_newer": lambda c, d: undo.count_newer(c, 1, d.ids(CHUNK)),
    "undo.changed_by": lambda c, _: undo.changed_by(c, 1),
    "undo.annotations_of": lambda c, _: undo.annotations_of(c, 1),
    "undo.delete_annotations": lambda c, _: undo.delete_annotations(c, [1, 2]),
    "undo.count_rejected": lambda c, _: undo.count_rejected(c, 1),
    "undo.delete_rejected": lambda c, _: undo.delete_rejected(c, 1),
    "undo.enqueue_unannotated": lambda c, d: undo.enqueue_unannotated(
        c, [(article, d.task) for article in d.ids(CHUNK)]
    ),
    "undo.mark_undone": lambda c, _: undo.mark_undone(c, 1),
    "annotation_rows.newest": lambda c, _: annotation_rows.newest(c, AnnotationFilter(annotator="ann"), limit=20),
    "annotation_rows.ids_in_use": lambda c, _: annotation_rows.ids_in_use(c, AnnotationFilter(annotator="ann")),
    "annotation_rows.of_article": lambda c, d: annotation_rows.of_article(c, d.ids(10)[5]),
    "annotation_rows.existing": lambda c, _: annotation_rows.existing(c, [1, 2]),
    "annotation_rows.retract": lambda c, _: annotation_rows.retract(c, [1, 2], "a"),
}
