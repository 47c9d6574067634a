"""Write the digests of all erased articles to a file, and erase them again in a database restored from a backup.

A backup that is older than an erasure brings the article back, and lacks its digest. The file has a JSON object in its
first line, and a digest in each further line.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from classifier import atomic_files
from classifier.exceptions import ErasureError, SettingsError
from classifier.pipeline.erasure import digests
from classifier.pipeline.erasure.digests import Digests
from classifier.pipeline.erasure.erase import Erased, Request, carry_out, matching_articles, preview
from classifier.pipeline.use_case import use_case
from classifier.store import erasures
from classifier.workspace import Workspace

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Exported:
    """The file, and the numbers of its erasures and digests."""

    file: str
    erasures: int
    digests: int


@use_case
def export_digests(workspace: Workspace, path: Path) -> Exported:
    """Write the digests of all erased articles, without ids and texts. A file of that name is replaced.

    If the key is in the database, the file has it too, since a restored database may lack it.

    Raises:
        ErasureError: nothing was erased, or the file cannot be written.
    """
    with workspace.database.connect() as connection:
        key = digests.find(connection, workspace.settings.erasure_key)
        if key is None:
            raise ErasureError("nothing was erased yet, so there is nothing to export")
        receipts, lines = erasures.receipts(connection), [digest.hex() for digest in erasures.digests(connection)]
    header = {
        "format": FORMAT,
        "key": key.key.hex() if key.is_stored else None,
        "key_check": key.check.hex(),
        "erasures": [
            {"id": row.id, "requested_at": row.requested_at.isoformat(), "articles": row.articles} for row in receipts
        ],
    }
    try:
        with atomic_files.temporary(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text("\n".join([json.dumps(header), *lines]) + "\n", encoding="utf-8")
            atomic_files.replace(temporary, path)
    except OSError as error:
        raise ErasureError(f"{path}: cannot write: {error.strerror}; choose another file") from error
    return Exported(str(path), len(receipts), len(lines))


@use_case
def replay(
    workspace: Workspace,
    path: Path,
    *,
    yes: bool = False,
    rewrite: bool | None = None,
    on_articles: Callable[[int], None] = lambda _: None,
) -> Erased:
    """Erase the articles whose digests are in the file; without `yes`, only return what would be erased.

    `rewrite` is that of `erase.erase`.

    Raises:
        ErasureError: the file cannot be read, or has another key than the database.
        SettingsError: the setting is not the key of the digests.
    """
    key, erased = _read(workspace, path)
    with workspace.database.connect() as connection:
        _check_key(connection, workspace, key, path)
        ids = matching_articles(connection, key, erased)
    if not yes:
        return preview(workspace, Request("replay", ids))
    with workspace.database.begin() as connection:
        if erasures.find_key(connection) is None:
            erasures.add_key(connection, key.key if key.is_stored else None, key.check)
    return carry_out(workspace, Request("replay", ids, key, erased), on_articles, rewrite=rewrite)


def _read(workspace: Workspace, path: Path) -> tuple[Digests, frozenset[bytes]]:
    """Return the key and the digests of a file."""
    try:
        with path.open(encoding="utf-8") as file:
            header = json.loads(file.readline())
            erased = frozenset(_digests(file))
        if header["format"] != FORMAT:
            raise ValueError
        stored = header["key"]
        key = Digests(bytes.fromhex(stored), is_stored=True) if stored else None
        expected = bytes.fromhex(header["key_check"])
    except OSError as error:
        raise ErasureError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ErasureError(f"{path}: not a list of erasures; write one with: classifier erase --export FILE") from error
    key = key or digests.of_setting(workspace.settings.erasure_key)
    if key is None or not hmac.compare_digest(key.check, expected):
        raise SettingsError(f"CLASSIFIER_ERASURE_KEY: is not the key of {path}; set the key that it was written with")
    return key, erased


def _digests(lines: Iterator[str]) -> Iterator[bytes]:
    for line in lines:
        digest = bytes.fromhex(line.strip())
        if len(digest) != 32:
            raise ValueError
        yield digest


def _check_key(connection: Connection, workspace: Workspace, key: Digests, path: Path) -> None:
    present = digests.find(connection, workspace.settings.erasure_key)
    if present is not None and present.key != key.key:
        raise ErasureError(
            f"{path}: has another key than this database, in which articles were erased since; restore the backup "
            "again, and replay the file before erasing further articles"
        )
