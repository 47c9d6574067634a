"""Name the sources of files that no source declares, so that no two files share ids by accident."""

from __future__ import annotations

import glob
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import PurePosixPath

from classifier.exceptions import SourceError
from classifier.ingest import object_store
from classifier.ingest.text_files import SourceFile
from classifier.names import shorten_name


def name_source(path: SourceFile, pattern: str | None = None) -> str:
    """Return a file's name without its suffixes, or a folder's name, after the folders below the pattern's fixed part.

    "bbc" for bbc.csv.gz, and "2024/part-0" for news/2024/part-0.csv if the pattern is news/*/part-0.csv.
    """
    stem = path.name if path.is_dir() else path.name.split(".")[0] or path.name
    if pattern is None or not glob.has_magic(pattern):
        return stem
    fixed = PurePosixPath(*takewhile(lambda part: not glob.has_magic(part), PurePosixPath(pattern).parts))
    try:
        folder = PurePosixPath(str(path)).parent.relative_to(fixed)
    except ValueError:  # the pattern was shortened
        return stem
    return str(folder / stem)


@dataclass(slots=True)
class SourceNames:
    """The names of a run's files. `shares_ids` says that rows of two files with one name could have the same id."""

    shares_ids: bool
    _files: dict[str, str] = field(default_factory=dict)

    def add(self, path: SourceFile, name: str) -> None:
        """Add a file with the name of its source.

        Raises:
            SourceError: another file has this name.
        """
        url = object_store.file_url(path)
        other = self._files.setdefault(name, url)
        if self.shares_ids and other != url:
            raise SourceError(
                f"{shorten_name(url, 300)}: its source would be {name!r}, as that of {shorten_name(other, 300)}, and "
                "articles with the same id would overwrite each other; ingest each file with a name of its own: "
                "--source-name NAME, or name one for all if their ids differ"
            )
