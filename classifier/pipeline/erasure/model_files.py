"""Take articles out of the files that trainings and evaluations write: snapshots, checkpoints and reports.

The caller holds `article_copies.no_copies`, so no process writes these files meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from classifier import atomic_files
from classifier.exceptions import ErasureError
from classifier.model import manifest_replacement
from classifier.model.artefact import MANIFEST_FILE, NEXT_MANIFEST_FILE
from classifier.model.manifest_replacement import Replacement
from classifier.store import erasures, model_rows
from classifier.training import data_snapshot
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

_CELL = re.compile(r">\s*(\d+)\s*<")


@dataclass(frozen=True, slots=True)
class CopiedArticles:
    """What files may hold of articles: ids, and the hashes of texts that no other article has."""

    ids: AbstractSet[int]
    text_hashes: AbstractSet[bytes]
    fingerprints: AbstractSet[bytes]


@dataclass(frozen=True, slots=True)
class _ModelFolder:
    """An artefact's directory. `id` and `manifest_sha256` are None if no model is registered for it."""

    directory: Path
    name: str
    id: int | None
    manifest_sha256: str | None
    start: str | None


@dataclass(frozen=True, slots=True)
class TrainedModels:
    """The models that were trained on the articles, or started from such a model, and those without any files here."""

    trained: tuple[str, ...]
    not_found: tuple[str, ...]


def find_trained(workspace: Workspace, copied: CopiedArticles) -> TrainedModels:
    """Return the models whose snapshots have one of the articles. Nothing is changed.

    Raises:
        ErasureError: a snapshot cannot be read.
    """
    folders = list(_folders(workspace))
    trained = {folder.name for folder in folders if _remaining(folder, copied) is not None}
    return TrainedModels(_with_successors(folders, trained), _not_found(folders))


def erase_from_models(workspace: Workspace, copied: CopiedArticles) -> TrainedModels:
    """Take the articles out of every snapshot and report, and return the models that were trained on them.

    A model is valid at every moment: see `classifier.model.manifest_replacement`.

    Raises:
        ErasureError: a snapshot cannot be read.
    """
    folders, trained = list(_folders(workspace)), set()
    for folder in folders:
        if not folder.directory.is_dir():
            continue
        manifest_replacement.settle(folder.directory, data_snapshot.PATTERN, folder.manifest_sha256)
        remaining = _remaining(folder, copied)
        if remaining is not None:
            trained.add(folder.name)
            _rewrite(workspace, folder, remaining)
        _erase_from_reports(folder.directory, copied.ids)
    return TrainedModels(_with_successors(folders, trained), _not_found(folders))


def delete_checkpoints(workspace: Workspace) -> int:
    """Delete the word pieces and states of unfinished trainings, and return the number of trainings."""
    root = workspace.settings.checkpoints_directory
    folders = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    for path in folders:
        shutil.rmtree(path)
    return len(folders)


def _folders(workspace: Workspace) -> Iterator[_ModelFolder]:
    """Yield the directory of each registered model, then the directories that no model is registered for."""
    with workspace.database.connect() as connection:
        rows = erasures.registered_models(connection)
        directories = [Path(model_rows.artefact_path(connection, row.artefact)) for row in rows]
    registered = set()
    for row, directory in zip(rows, directories, strict=True):
        registered.add(directory.resolve())
        yield _ModelFolder(directory, row.name, row.id, row.manifest_sha256, row.start)
    for path in sorted(workspace.models.iterdir()) if workspace.models.is_dir() else ():
        if path.is_dir() and path.resolve() not in registered and any(path.glob(data_snapshot.PATTERN)):
            yield _ModelFolder(path, path.name, None, None, None)


def _remaining(folder: _ModelFolder, copied: CopiedArticles) -> bytes | None:
    """Return the snapshot's content without the articles, or None if it has none of them."""
    path = data_snapshot.find_snapshot(folder.directory)
    if not path.is_file():
        return None
    try:
        return data_snapshot.without_articles(path, copied.ids, copied.text_hashes, copied.fingerprints)
    except (OSError, pa.ArrowInvalid) as error:
        raise ErasureError(f"{path}: cannot read the snapshot; restore it from a backup, or prune the model") from error


def _rewrite(workspace: Workspace, folder: _ModelFolder, content: bytes) -> None:
    """Replace a folder's snapshot, and register the new manifest."""
    if not (folder.directory / MANIFEST_FILE).is_file():  # a training was killed while it wrote the folder
        shutil.rmtree(folder.directory)
        return
    former = data_snapshot.find_snapshot(folder.directory).name
    digest = hashlib.sha256(content).hexdigest()
    name = f"snapshot-{digest[:12]}.parquet"

    def edit(manifest: dict[str, Any]) -> None:
        manifest["data"] = {**manifest.get("data", {}), "snapshot": name, "snapshot_sha256": digest}

    replacement = manifest_replacement.prepare(folder.directory, former, name, content, edit)
    registered = replacement.manifest_sha256
    if folder.id is not None and not _register(workspace, folder.id, replacement):
        (folder.directory / NEXT_MANIFEST_FILE).unlink()
        raise ErasureError(
            f"{folder.directory / MANIFEST_FILE}: is not the registered one; restore it from a backup, then run the "
            "same command again"
        )
    manifest_replacement.settle(folder.directory, data_snapshot.PATTERN, registered)


def _register(workspace: Workspace, model_id: int, replacement: Replacement) -> bool:
    values = {
        "manifest_sha256": replacement.manifest_sha256,
        "file": replacement.file,
        "file_sha256": replacement.file_sha256,
    }
    with workspace.database.begin() as connection:
        return erasures.set_manifest(connection, model_id, replacement.former_sha256, values)


def _erase_from_reports(directory: Path, ids: AbstractSet[int]) -> None:
    """Take the articles out of the list of mistakes next to a model; delete a page that shows one of them."""
    path = directory.with_name(f"{directory.name}.evaluation.json")
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        mistakes = content.get("report", {}).get("mistakes", [])
        kept = [mistake for mistake in mistakes if mistake["article"] not in ids]
        if len(kept) < len(mistakes):
            content["report"]["mistakes"] = kept
            atomic_files.write(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    page = directory.with_name(f"{directory.name}.evaluation.html")
    if page.is_file() and not ids.isdisjoint(map(int, _CELL.findall(page.read_text(encoding="utf-8")))):
        page.unlink()
        log.info("%s: deleted, since it listed an erased article; write it again with classifier report", page)


def _with_successors(folders: Sequence[_ModelFolder], trained: AbstractSet[str]) -> tuple[str, ...]:
    """Return the models with those that started from one of them, in the order of their registration."""
    result: set[str] = set(trained)
    for folder in folders:  # a model is registered after the model that it started from
        if folder.start in result:
            result.add(folder.name)
    return tuple(folder.name for folder in folders if folder.name in result and folder.id is not None)


def _not_found(folders: Sequence[_ModelFolder]) -> tuple[str, ...]:
    return tuple(folder.name for folder in folders if not folder.directory.is_dir())
