"""Fill a database of any size in about a minute: synthetic articles and a year of work on them.

Every table has rows, in the proportions of a database in use: near-duplicates within and across splits, texts in
several clusters, annotations by sources and by people who disagree, predictions of several champions, a queue, reviews,
dead letters, rejected rows, and the runs of a year. The same size always gives the same rows.

This module generates the texts and copies them. `scale_database.sql` derives all other rows in Postgres.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Engine, text

TWINS = 50
"""One article in this many is a near-duplicate of the one before it."""

SOURCE = "synthetic"

_SENTENCES, _WORDS, _VOCABULARY = 4096, 12, 20_000
_ROWS_AT_ONCE = 20_000
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
_SESSION = (
    "SET LOCAL session_replication_role = replica",  # checking a foreign key takes longer than inserting its row
    "SET LOCAL synchronous_commit = off",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL work_mem = '256MB'",
)
_COPY = (
    "COPY articles (id, source, external_id, text, text_hash, fingerprint, split, published_at, ingested_at) FROM STDIN"
)


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of rows: `by_people` of the `annotated` articles by people; `labelled_by` models have predictions."""

    articles: int
    annotated: int
    by_people: int
    categories: int = 20
    models: int = 20
    labelled_by: int = 3


def usual(articles: int, **more: int) -> Size:
    """Return a size of usual proportions: a fifth of the articles is annotated, half of these by people."""
    return Size(**{"articles": articles, "annotated": articles // 5, "by_people": articles // 10, **more})


def build(database: Engine, size: Size) -> None:
    """Fill a migrated, empty database, then vacuum and analyze it."""
    with database.begin() as connection:
        _prepare(connection)
        copy_articles(connection, size)
        _run(connection, size)
    settle(database)


def annotate_again(database: Engine, size: Size) -> None:
    """Replace the annotations with those of another size."""
    with database.begin() as connection:
        _prepare(connection)
        connection.execute(text("TRUNCATE annotations"))
        _run(connection, size, only="annotations")
    settle(database)


def settle(database: Engine) -> None:
    """Vacuum, analyze and checkpoint, so that background processes do not do so during a measurement."""
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))
        connection.execute(text("RESET statement_timeout"))


def copy_articles(connection: Connection, size: Size) -> None:
    """Copy the articles; their ids are their numbers."""
    cursor = connection.connection.cursor()
    for first in range(1, size.articles + 1, _ROWS_AT_ONCE):
        lines = "".join(_lines(first, min(first + _ROWS_AT_ONCE, size.articles + 1), size))
        cursor.copy_expert(_COPY, io.StringIO(lines))
    cursor.close()


def article(number: int, categories: int) -> str:
    """Return an article's text: about a hundred words, of which two depend on its category."""
    first = original(number)
    chosen = struct.unpack("<9H", sha256(first.to_bytes(8, "big")).digest()[:18])
    keyword = _word(10**6 + first % categories)
    return f"{keyword} {' '.join([_POOL[index % _SENTENCES] for index in chosen])} {keyword} {_word(10**9 + number)}"


def category(number: int, categories: int) -> str:
    """Return an article's category; near-duplicates share it."""
    return f"category {original(number) % categories:04}"


def split(number: int) -> str:
    """Return an article's split; for some near-duplicates it is the source's, not the cluster's."""
    if number % (4 * TWINS) == 1:
        return "test"
    percentile = original(number) * 2_654_435_761 % 2**32 % 100
    return "train" if percentile < 80 else "validation" if percentile < 90 else "test"


def original(number: int) -> int:
    """Return the number of the article that this one repeats, or its own."""
    return number - 1 if number % TWINS == 1 and number > 1 else number


def _lines(first: int, end: int, size: Size) -> Iterator[str]:
    """Yield rows for COPY. Folding does not change these texts, so both hashes are equal."""
    now, step = datetime.now(UTC), timedelta(days=365) / size.articles
    for number in range(first, end):
        content = article(number, size.categories)
        digest = sha256(content.encode()).hexdigest()
        ingested_at = now - step * (size.articles - number)
        yield (
            f"{number}\t{SOURCE}\ta{number}\t{content}\t\\\\x{digest}\t\\\\x{digest}\t{split(number)}\t{ingested_at}\t{ingested_at}\n"
        )


def _prepare(connection: Connection) -> None:
    for statement in _SESSION:
        connection.execute(text(statement))


def _run(connection: Connection, size: Size, *, only: str | None = None) -> None:
    """Run all statements of the file, or only the helpers and those whose name starts with `only`."""
    blocks = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").strip().split("\n\n")
    for block in blocks:
        name = block.partition("\n")[0].removeprefix("-- ")
        if only is None or name.startswith((only, "helper")):
            connection.execute(text(block), {**asdict(size), "source": SOURCE})


def _word(number: int) -> str:
    syllables = []
    while number:
        number, remainder = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[remainder])
    return "".join(syllables)


def _pool() -> list[str]:
    words = [_word(number) for number in range(5000, 5000 + _VOCABULARY)]
    chosen = np.random.default_rng(0).integers(len(words), size=(_SENTENCES, _WORDS))
    return [" ".join(words[index] for index in row) for row in chosen]


_POOL = _pool()
