"""A model's files: a Hugging Face directory with all that labelling needs.

`config.json` (with `id2label`), `model.safetensors` and the tokenizer's files have the format of `transformers`. An
ensemble's linear classifier has two further files. `classifier.json` is the manifest: the order of the categories, the
maximum length, the chunking of longer texts, whether titles are read, the calibration, the weights of an ensemble, the
details of the training, and the sha256 of each other file; for a multi-label model also its kind. It is written last,
so a directory with a manifest is complete. An artefact never changes afterwards, except that an erasure takes articles
out of its snapshot.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError

from classifier import atomic_files
from classifier.articles import TaskKind
from classifier.exceptions import ArtefactError
from classifier.model import checkpoint, ensemble, file_access, linear, temperature_scaling, text_chunking
from classifier.model.checkpoint import Checkpoint
from classifier.model.ensemble import Ensemble
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.tokenization import Tokenization

MANIFEST_FILE = "classifier.json"
NEXT_MANIFEST_FILE = "classifier.next.json"
"""Its successor while a file is being replaced: see `classifier.model.manifest_replacement`."""

FORMAT = 1
_UNFINISHED = re.compile(r"\.\d{8}-\d{6}-[0-9a-f]{4}\..+")
"""Name of a folder that is being written: hidden, a name of `registry.new_name`, and an ending."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model's directory whose files were verified when it was opened."""

    directory: Path
    manifest: Mapping[str, Any]
    manifest_sha256: str

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories, in the order of the model's outputs."""
        return tuple(self.manifest["categories"])

    @property
    def kind(self) -> TaskKind:
        """Whether a text has exactly one category, or any number of them.

        Raises:
            ArtefactError: this version does not know the kind.
        """
        kind: TaskKind = self.manifest.get("kind", "single")
        if kind not in get_args(TaskKind):
            raise ArtefactError(f"kind {kind!r}: unknown; another version of the classifier wrote the model")
        return kind

    @property
    def temperature(self) -> float:
        """The number that the logits are divided by; 1 for a model that was not calibrated."""
        return temperature_scaling.from_calibration(self.calibration)

    @property
    def calibration(self) -> Mapping[str, Any]:
        """The temperature and the first threshold, with the figures that they were chosen by."""
        calibration: Mapping[str, Any] = self.manifest.get("calibration") or {}
        return calibration

    def load(self) -> FineTunedModel:
        """Read the model into memory: weights, tokenizer and, for an ensemble, the linear classifier."""
        return FineTunedModel(
            self.checkpoint(), self.tokenization(), self.categories, self.calibration, self.ensemble(), self.kind
        )

    def checkpoint(self) -> Checkpoint:
        """Read the weights, including the head's."""
        return checkpoint.read_checkpoint(self.directory, categories=len(self.categories))

    def tokenization(self) -> Tokenization:
        """Read the tokenizer, which cuts texts at the model's maximum length or into its chunks."""
        chunking = text_chunking.from_manifest(self.manifest)
        read_title = bool(self.manifest.get("read_title"))  # older models do not read titles
        return Tokenization.read(self.directory, int(self.manifest["max_length"]), chunking, read_title=read_title)

    def ensemble(self) -> Ensemble | None:
        """Read the linear classifier of an ensemble; return None if the network predicts alone.

        Raises:
            ArtefactError: this version does not know the ensemble, or its files are no linear classifier.
        """
        if (entry := ensemble.from_manifest(self.manifest)) is None:
            return None
        kind, weights = entry
        return Ensemble(linear.read_linear(self.directory, self.categories, kind), weights)


def write_artefact(
    directory: Path,
    model: FineTunedModel,
    *,
    tokenizer: Path,
    details: Mapping[str, Any],
    extra_files: Mapping[str, bytes] | None = None,
) -> Artefact:
    """Write a model's artefact into a temporary folder and rename it.

    `tokenizer` is the folder to copy the tokenizer's files from, `details` are further entries of the manifest, and
    `extra_files` are the contents of further files by name. Each file is hashed once, for the manifest.

    Raises:
        ArtefactError: there is already something at `directory`, or it cannot be written.
    """
    if directory.exists():
        raise ArtefactError(f"{directory}: already exists; an artefact is never overwritten")
    files = {**(extra_files or {}), **(model.ensemble.linear.to_files() if model.ensemble else {})}
    with _temporary_folder(directory) as folder:
        checkpoint.copy_tokenizer(tokenizer, folder)
        checkpoint.write_checkpoint(
            folder,
            model.checkpoint.shape,
            model.checkpoint.weights,
            categories=model.categories,
            kind=model.kind,
            extra={},
        )
        for name, content in files.items():
            (folder / name).write_bytes(content)
        hashes = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
        manifest = {**_describe(model), **details, "sha256": hashes}
        content = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
        (folder / MANIFEST_FILE).write_bytes(content)
        folder.chmod(0o755)
        atomic_files.publish(folder, directory)
    return Artefact(directory, json.loads(content), hashlib.sha256(content).hexdigest())


def _describe(model: FineTunedModel) -> dict[str, Any]:
    """Return the manifest's entries about how the model reads texts and computes probabilities."""
    return {
        "format": FORMAT,
        **({} if model.kind == "single" else {"kind": model.kind}),
        "categories": list(model.categories),
        "max_length": model.tokenization.max_length,
        "chunking": text_chunking.to_manifest(model.tokenization.chunking),
        "read_title": model.tokenization.read_title,
        "calibration": dict(model.calibration),
        **ensemble.to_manifest(model.ensemble),
    }


@contextmanager
def _temporary_folder(directory: Path) -> Iterator[Path]:
    """Create a hidden folder next to the artefact's, and delete it on an error.

    Raises:
        ArtefactError: a file cannot be written.
    """
    folder = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
        yield folder
    except BaseException as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError | SafetensorError):
            remedy = "make room, or name another folder in CLASSIFIER_MODELS, and run it again"
            raise ArtefactError(f"{directory}: cannot be written ({error}); {remedy}") from error
        raise


def delete_unfinished(directory: Path, *, days: float) -> list[Path]:
    """Delete and return the folders of artefacts that last changed more than `days` ago and were never finished.

    Other hidden folders stay, because a file system or a backup may have put them there.
    """
    oldest = time.time() - days * 86_400
    unfinished = [path for path in directory.glob(".*") if _UNFINISHED.fullmatch(path.name) and path.is_dir()]
    stale = [path for path in unfinished if _changed_at(path) < oldest]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
    return stale


def _changed_at(directory: Path) -> float:
    """Return when a folder or one of its files last changed; if another process just moved it, return the time now."""
    try:
        return max(path.stat().st_mtime for path in (directory, *directory.iterdir()))
    except FileNotFoundError:
        return time.time()


def read_artefact(directory: Path, *, manifest_sha256: str | None = None) -> Artefact:
    """Open an artefact and verify each file by the manifest's hashes.

    `manifest_sha256` is the hash of the manifest itself in the database.

    Raises:
        ArtefactError: a file is missing, cannot be read, or differs from the one that was written.
    """
    path = directory / MANIFEST_FILE
    try:
        with file_access.reading(path, ArtefactError, besides=(FileNotFoundError, NotADirectoryError)):
            content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtefactError(
            f"{path}: not found; the model's directory is missing or was never completed; restore it from a backup"
        ) from error
    actual = hashlib.sha256(content).hexdigest()
    if manifest_sha256 is not None and actual != manifest_sha256:
        content, actual = _next_manifest(directory, content, manifest_sha256)
    if manifest_sha256 is not None and actual != manifest_sha256:
        raise ArtefactError(f"{path}: sha256 is {actual}, registered as {manifest_sha256}; restore it from a backup")
    manifest = _parse(content, path)
    for name, expected in manifest["sha256"].items():
        _check(directory / name, expected)
    return Artefact(directory, manifest, actual)


def _next_manifest(directory: Path, content: bytes, registered_sha256: str) -> tuple[bytes, str]:
    """Return the next manifest with its hash if it is the registered one, else the present manifest with its hash."""
    path = directory / NEXT_MANIFEST_FILE
    following = path.read_bytes() if path.is_file() else b""
    chosen = following if hashlib.sha256(following).hexdigest() == registered_sha256 else content
    return chosen, hashlib.sha256(chosen).hexdigest()


def _parse(content: bytes, path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtefactError(f"{path}: not JSON ({error}); restore the directory from a backup") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtefactError(f"{path}: not a manifest of format {FORMAT}; another version of the classifier wrote it")
    return manifest


def _check(path: Path, expected: str) -> None:
    with file_access.reading(path, ArtefactError):
        actual = _sha256(path) if path.is_file() else None
    if actual is None:
        raise ArtefactError(f"{path}: not found; restore it from a backup")
    if actual != expected:
        raise ArtefactError(f"{path}: sha256 is {actual}, the manifest says {expected}; restore it from a backup")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
