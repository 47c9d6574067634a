"""Count the annotations that people have checked, and those that were wrong.

A check compares a person's annotation with the source's when the article was queued: what the source delivers later, or
takes back, changes no result. Retired categories do not count. If a category was split since, an annotation with one of
its parts confirms it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection

from classifier.articles import Split
from classifier.store import annotation_checks, category_rows
from classifier.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class CheckedAnnotations:
    """Of `queued` annotations of a split, people have checked `checked`, and `corrected` of these were wrong.

    The reason is `doubtful`, or `control` for those drawn at random. Queues of former champions are counted, too.
    """

    split: Split
    reason: str
    queued: int
    checked: int
    corrected: int


def count_checks(connection: Connection) -> Iterator[CheckedAnnotations]:
    """Yield the counts of each split and reason."""
    rows = annotation_checks.checked_annotations(connection)
    if not rows:
        return
    present = category_rows.taxonomy(connection)
    for (split, reason), group in groupby(rows, lambda row: (row.split, row.reason)):
        articles = list(group)
        checked = [article for article in articles if article.by_person is not None]
        corrected = sum(
            is_corrected(present, article.doubted, article.by_person)
            for article in checked
            if article.doubted is not None
        )
        yield CheckedAnnotations(split, reason, len(articles), len(checked), corrected)


def is_corrected(present: Taxonomy, doubted: Iterable[str], by_person: Iterable[str]) -> bool:
    """Return whether a person's annotation differs from the doubted one; both are recorded names of categories."""
    answers = {*present.present_set(by_person)}
    confirming = {name: _with_parts(present, name) for name in present.present_set(doubted)}
    removed = any(name not in present.retired and not names & answers for name, names in confirming.items())
    return removed or bool(answers - present.retired - {name for names in confirming.values() for name in names})


def _with_parts(present: Taxonomy, name: str) -> set[str]:
    """Return a category and all categories into which it was split, or its parts were."""
    names, added = {name}, [name]
    while added:
        parts = {*present.splits.get(added.pop(), ())} - names
        names |= parts
        added.extend(parts)
    return names
