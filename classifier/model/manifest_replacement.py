"""Replace a file of a registered artefact, with its manifest, so that a crash at any moment leaves a valid model.

1. `prepare` writes the new file under a new name, and the new manifest as `classifier.next.json`.
2. The caller registers the hash of the new manifest. `artefact.read_artefact` accepts the manifest that has the
   registered hash, whichever of the two files that is.
3. `settle` renames the new manifest, and deletes the files that it does not list. After a crash before step 2, it
   deletes the new files instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier import atomic_files
from classifier.model.artefact import MANIFEST_FILE, NEXT_MANIFEST_FILE

EditManifest = Callable[[dict[str, Any]], None]
"""A function that changes a manifest in place."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A prepared replacement: the new file's name and hash, and the hashes of both manifests."""

    file: str
    file_sha256: str
    former_sha256: str
    manifest_sha256: str


def prepare(directory: Path, former: str, file: str, content: bytes, edit: EditManifest) -> Replacement:
    """Write the file that replaces `former`, and the next manifest, which `edit` may change further."""
    manifest_bytes = (directory / MANIFEST_FILE).read_bytes()
    manifest: dict[str, Any] = json.loads(manifest_bytes)
    digest = hashlib.sha256(content).hexdigest()
    hashes: Mapping[str, str] = manifest["sha256"]
    manifest["sha256"] = {**{name: value for name, value in hashes.items() if name != former}, file: digest}
    edit(manifest)
    atomic_files.write(directory / file, content)
    following = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    atomic_files.write(directory / NEXT_MANIFEST_FILE, following)
    return Replacement(file, digest, hashlib.sha256(manifest_bytes).hexdigest(), hashlib.sha256(following).hexdigest())


def settle(directory: Path, pattern: str, registered_sha256: str | None) -> None:
    """Finish a replacement if its manifest is the registered one, else undo it.

    Files that match `pattern` are deleted if the manifest does not list them. For an artefact that is not registered,
    the next manifest counts.
    """
    following = directory / NEXT_MANIFEST_FILE
    if following.is_file():
        digest = hashlib.sha256(following.read_bytes()).hexdigest()
        if registered_sha256 in {None, digest}:
            atomic_files.replace(following, directory / MANIFEST_FILE)
        else:
            following.unlink()
    manifest = directory / MANIFEST_FILE
    if not manifest.is_file():
        return
    listed = json.loads(manifest.read_bytes())["sha256"]
    for path in directory.glob(pattern):
        if path.name not in listed:
            path.unlink(missing_ok=True)
