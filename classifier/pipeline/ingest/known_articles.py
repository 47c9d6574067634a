"""Notice rows of a file that would overwrite or repeat articles of other files, in the transaction of the ingest."""

from __future__ import annotations

import logging
from fnmatch import fnmatch
from pathlib import PurePosixPath

from sqlalchemy import Connection

from classifier.exceptions import KnownTextsError
from classifier.pipeline.ingest.run_records import IngestRun
from classifier.plurals import plural, verb
from classifier.store import known_articles

log = logging.getLogger(__name__)


def refuse_other_ids(connection: Connection, unit: str) -> None:
    """Raise an error if the source already has some of the staged texts under another kind of id.

    Raises:
        KnownTextsError: the file was ingested before with its id column, and now without it, or the reverse.
    """
    other = known_articles.find_other_ids(connection)
    if other is None:
        return
    if other.are_hashes:
        reason, remedy = "without --id, so that hashes of the texts are their ids", "leave --id out"
    else:
        reason, remedy = f"with --id, such as {other.example[:40]!r}", "name the same column with --id"
    raise KnownTextsError(
        f"{unit}: its source already has {other.texts:,} of its texts, ingested {reason}; {remedy}, or add them again "
        "with --anyway; nothing was ingested"
    )


def count_other_splits(connection: Connection, unit: str) -> int:
    """Return how many rows name another split than their article has, and warn about them."""
    count = known_articles.count_other_splits(connection)
    if count:
        log.warning(
            "%s: %s another split than the article has; an article keeps its split for good",
            unit,
            f"{plural(count, 'row')} {verb(count, 'names', 'name')}",
        )
    return count


def warn_of_other_files(connection: Connection, run: IngestRun, unit: str) -> None:
    """Warn about changed articles that an earlier run read from another file."""
    for source, count in known_articles.changed_sources(connection, run.id).items():
        if source != run.source and not _covers(source, unit):
            log.warning(
                "%s: changed %s that came from %s; if the two files have different articles, name their sources with "
                "--source-name",
                unit,
                plural(count, "article"),
                source,
            )


def _covers(pattern: str, unit: str) -> bool:
    """Return whether a pattern, perhaps relative to a folder, matches a file's absolute path."""
    return fnmatch(unit, pattern) or PurePosixPath(unit).match(pattern)
