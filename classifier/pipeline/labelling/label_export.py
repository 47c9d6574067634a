"""Export labels to a file, or to standard output, with a few pages of them in memory at a time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from classifier import atomic_files
from classifier.exceptions import ExportError
from classifier.pipeline.labelling import label_files
from classifier.pipeline.labelling.label_files import FORMATS, Format
from classifier.pipeline.use_case import use_case
from classifier.store import article_labels
from classifier.store.article_labels import LabelSelection
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """Where labels are written; `file` "-" is standard output. `exact` is for CSV: see `label_files`."""

    file: str = STDOUT
    format: str | None = None
    overwrite: bool = False
    exact: bool = False

    @property
    def path(self) -> Path | None:
        """The path of the file; None for standard output."""
        return None if self.file == STDOUT else Path(self.file).expanduser()


@dataclass(frozen=True, slots=True)
class ExportedLabels:
    """An export that is complete.

    Attributes:
        labels: The rows: one for each label or article without a label, or one for each article and task.
        next_changed_since: What the next export must get as `--changed-since`, so that it leaves no change out.
    """

    file: str
    labels: int
    next_changed_since: datetime


@use_case
def export_labels(
    workspace: Workspace,
    selection: LabelSelection,
    target: ExportTarget,
    *,
    on_rows: Callable[[int], None] = lambda _: None,
) -> ExportedLabels:
    """Write the selected labels, of one moment and by article id, and return their number.

    If the workspace was opened for a task, only its labels are written, else those of all tasks.

    A file gets its name when it is complete. `on_rows` receives the number of rows of each page.

    Raises:
        ExportError: the format is unknown, the file exists already, or it cannot be written.
        DatabaseRightsError: this role may not read the texts.
    """
    kind = _find_format(target)
    if workspace.choice.name is not None:
        selection = replace(selection, task=workspace.task.name)
    labels = 0
    with workspace.database.connect() as connection, _opened(target) as file:
        settled = article_labels.settled_until(connection)
        with label_files.open_writer(file, selection.columns, kind, exact=target.exact) as write:
            for page in article_labels.stream(connection, selection):
                write(page)
                labels += len(page)
                on_rows(len(page))
    log.info("exported %d labels to %s", labels, target.file)
    return ExportedLabels(target.file, labels, settled.replace(microsecond=0))


def _find_format(target: ExportTarget) -> Format:
    """Return the format that was requested or that the file's suffix names; that of standard output is CSV."""
    suffix = target.path.suffix.lstrip(".").lower() if target.path else "csv"
    name = target.format or suffix
    if name == "parquet" and target.path is None:
        raise ExportError("parquet: cannot be written to a pipe; name a file, such as labels.parquet")
    for candidate in FORMATS:
        if name == candidate:
            return candidate
    if target.format:
        raise ExportError(f"format {target.format!r}: unknown; choose from {', '.join(FORMATS)}")
    raise ExportError(f"{target.file}: must end with .csv, .jsonl or .parquet; rename it, or add --format")


@contextmanager
def _opened(target: ExportTarget) -> Iterator[BinaryIO]:
    """Yield the file to write to; at the end it is renamed, and after an error deleted."""
    path = target.path
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    _refuse_existing(path, target)
    try:
        if path.exists() and not path.is_file():  # such as /dev/stdout
            with path.open("wb") as file:
                yield file
            return
        with atomic_files.temporary(path) as temporary_path:
            with temporary_path.open("xb") as file:
                yield file
            _refuse_existing(path, target)
            atomic_files.replace(temporary_path, path)
    except OSError as error:
        raise ExportError(f"{target.file}: cannot be written ({error.strerror or error}); nothing was kept") from error


def _refuse_existing(path: Path, target: ExportTarget) -> None:
    if path.is_dir():
        raise ExportError(f"{target.file}: is a folder; name a file in it, such as labels.csv")
    if path.is_file() and not target.overwrite:
        raise ExportError(f"{target.file}: exists already; name another file, or add --overwrite")
