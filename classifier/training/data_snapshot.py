"""What a model was trained on: a file in its artefact with ids, hashes and categories, and no text."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from classifier.articles import AnnotatedArticle, Split
from classifier.ingest.fingerprints import fingerprint
from classifier.training.spooled_articles import facts

log = logging.getLogger(__name__)

FILE = "snapshot.parquet"

Known = frozenset[tuple[int, bytes, str]]
"""Articles as (id, sha256 of the text, category): a changed text or category is another one."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a snapshot, an entry an article; versions before kept no fingerprints."""

    ids: Sequence[int]
    text_hashes: Sequence[bytes]
    fingerprints: Sequence[bytes] | None

    @property
    def hashes(self) -> set[bytes]:
        """The distinct texts' hashes."""
        return set(self.text_hashes)


def sha256(articles: Iterable[AnnotatedArticle]) -> str:
    """Identify articles by their ids, texts and categories, in this order."""
    digest = hashlib.sha256()
    for article_id, text_hash, category in facts(articles):
        digest.update(article_id.to_bytes(8, "big") + text_hash + category.encode() + b"\0")
    return digest.hexdigest()


def encode_snapshot(parts: Mapping[Split, Sequence[AnnotatedArticle]]) -> bytes:
    """Return the file: a row an article, with the part that it had in the training, train or validation."""
    rows = [(part, fact) for part, articles in parts.items() for fact in facts(articles)]
    fingerprints = [fingerprint(article.text) for articles in parts.values() for article in articles]
    table = pa.table({
        "article_id": pa.array([fact[0] for _, fact in rows], pa.int64()),
        "part": pa.array([part for part, _ in rows], pa.string()),
        "text_sha256": pa.array([fact[1] for _, fact in rows], pa.binary()),
        "fingerprint": pa.array(fingerprints, pa.binary()),
        "category": pa.array([fact[2] for _, fact in rows], pa.string()),
    })
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def read_snapshot(directory: Path) -> Known:
    """Read the snapshot in an artefact's directory.

    Raises:
        FileNotFoundError: it has none: it was imported, or trained before there were snapshots.
    """
    table = pq.read_table(directory / FILE)
    columns = (table.column(name).to_pylist() for name in ("article_id", "text_sha256", "category"))
    return frozenset(zip(*columns, strict=True))


def texts(directory: Path) -> Texts | None:
    """Read the texts of the snapshot in an artefact's directory; None if there is none, or it cannot be read."""
    try:
        table = pq.read_table(directory / FILE)
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowInvalid) as error:
        log.warning("%s: cannot be read (%s)", directory / FILE, error)
        return None
    kept = table.column_names
    columns = {
        name: table.column(name).to_pylist() for name in ("article_id", "text_sha256", "fingerprint") if name in kept
    }
    return Texts(columns["article_id"], columns["text_sha256"], columns.get("fingerprint"))


def count_new(articles: Iterable[AnnotatedArticle], known: Known) -> int:
    """Count the articles that the snapshot does not have, or has with another text or category."""
    return sum(fact not in known for fact in facts(articles))
