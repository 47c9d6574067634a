"""Write and read a model's training snapshot: the ids, hashes and categories of its articles, but no text."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from classifier.articles import AnnotatedArticle
from classifier.ingest.fingerprints import fingerprint
from classifier.model import artefact
from classifier.training.spooled_articles import Fact, facts

log = logging.getLogger(__name__)

FILE = "snapshot.parquet"
PATTERN = "snapshot*.parquet"
"""The names of snapshots. If one was written again without erased articles, its name has the hash of its content."""

Facts = frozenset[Fact]
"""Articles as (id, sha256 of title and text, categories). With other values, an article is another."""


@dataclass(frozen=True, slots=True)
class SnapshotTexts:
    """The texts of a snapshot, one entry per article. `fingerprints` is None for a snapshot without them."""

    ids: Sequence[int]
    text_hashes: Sequence[bytes]
    fingerprints: Sequence[bytes] | None

    @property
    def hashes(self) -> set[bytes]:
        """The hashes of the distinct texts."""
        return set(self.text_hashes)


def sha256(articles: Iterable[AnnotatedArticle]) -> str:
    """Return a hash of the articles' ids, titles, texts and categories, in their order."""
    digest = hashlib.sha256()
    for article_id, text_hash, categories in facts(articles):
        # the separators are no characters of a category
        digest.update(article_id.to_bytes(8, "big") + text_hash + "\1".join(categories).encode() + b"\0")
    return digest.hexdigest()


def encode_snapshot(parts: Mapping[str, Sequence[AnnotatedArticle]]) -> bytes:
    """Return the file's content: a row per article, with its part in the training, train or validation."""
    rows = [(part, fact) for part, articles in parts.items() for fact in facts(articles)]
    fingerprints = [fingerprint(article.text) for articles in parts.values() for article in articles]
    table = pa.table({
        "article_id": pa.array([fact[0] for _, fact in rows], pa.int64()),
        "part": pa.array([part for part, _ in rows], pa.string()),
        "text_sha256": pa.array([fact[1] for _, fact in rows], pa.binary()),
        "fingerprint": pa.array(fingerprints, pa.binary()),
        "categories": pa.array([fact[2] for _, fact in rows], pa.list_(pa.string())),
    })
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def read_snapshot(directory: Path) -> Facts:
    """Return the snapshot in an artefact's directory.

    Raises:
        FileNotFoundError: the artefact has no snapshot, for instance because the model was imported.
    """
    table = pq.read_table(find_snapshot(directory))
    ids, hashes = (table.column(name).to_pylist() for name in ("article_id", "text_sha256"))
    if "categories" in table.column_names:
        label_sets = [tuple(names) for names in table.column("categories").to_pylist()]
    else:  # older models have one category an article
        label_sets = [(name,) for name in table.column("category").to_pylist()]
    return frozenset(zip(ids, hashes, label_sets, strict=True))


def find_snapshot(directory: Path) -> Path:
    """Return the path of the snapshot in an artefact's directory: the one that the manifest lists."""
    try:
        hashes = json.loads((directory / artefact.MANIFEST_FILE).read_bytes())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return directory / FILE
    return directory / next((name for name in hashes if fnmatch(name, PATTERN)), FILE)


def without_articles(
    path: Path, ids: AbstractSet[int], text_hashes: AbstractSet[bytes], fingerprints: AbstractSet[bytes]
) -> bytes | None:
    """Return a snapshot's content without the rows of these articles and texts, or None if it has none of them.

    Raises:
        OSError: the file cannot be read.
        pyarrow.ArrowInvalid: it is no Parquet file.
    """
    table = pq.read_table(path)
    names = {"article_id": ids, "text_sha256": text_hashes, "fingerprint": fingerprints}
    columns = [(table.column(name).to_pylist(), values) for name, values in names.items() if name in table.column_names]
    kept = [not any(column[row] in values for column, values in columns) for row in range(table.num_rows)]
    if all(kept):
        return None
    file = io.BytesIO()
    pq.write_table(table.filter(pa.array(kept, pa.bool_())), file, compression="zstd")
    return file.getvalue()


def read_texts(directory: Path) -> SnapshotTexts | None:
    """Return the texts of the snapshot in an artefact's directory; None if it is missing or cannot be read."""
    try:
        table = pq.read_table(find_snapshot(directory))
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowInvalid) as error:
        log.warning("%s: cannot read (%s)", find_snapshot(directory), error)
        return None
    names = ("article_id", "text_sha256", "fingerprint")
    columns = {name: table.column(name).to_pylist() for name in names if name in table.column_names}
    return SnapshotTexts(columns["article_id"], columns["text_sha256"], columns.get("fingerprint"))


def count_new(articles: Iterable[AnnotatedArticle], snapshot: Facts) -> int:
    """Return how many articles are not in the snapshot, or are there with another title, text or category."""
    return sum(fact not in snapshot for fact in facts(articles))
