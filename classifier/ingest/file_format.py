"""How files are read, apart from the names of their columns."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from classifier.exceptions import SettingsError
from classifier.ingest import decoding
from classifier.ingest.timestamps import DateRules

DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t"}
"""Names of delimiters that are hard to type or to read."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How files are read.

    `encoding` is a codec's name, "auto" to detect it, or None: UTF-8 for tables, detected for folders of text files.
    `delimiter` is detected if it is None. `skip_lines` lines come before the header. If `header` is False, the columns
    of a table have the `column_names`, else the numbers from 1. `records` is the key of the array in a JSON object.
    With `split_folders`, folders named for a split assign their articles to it. `date_format` and
    `strict_dates` are those of `DateRules`, `separator` and `none_value` those of `CategoryRules`.
    """

    encoding: str | None = None
    delimiter: str | None = None
    skip_lines: int = 0
    header: bool = True
    column_names: tuple[str, ...] = ()
    records: str | None = None
    split_folders: bool = False
    date_format: str | None = None
    strict_dates: bool = False
    separator: str | None = None
    none_value: str | None = None

    @property
    def dates(self) -> DateRules:
        """How publication times are read."""
        return DateRules(self.date_format, self.strict_dates)

    @property
    def has_header(self) -> bool:
        """Return whether the first row of a table names its columns."""
        return self.header and not self.column_names

    @property
    def table_encoding(self) -> str:
        """The encoding of tables, or "auto"."""
        return self.encoding or "utf-8"

    @property
    def text_encoding(self) -> str:
        """The encoding of the files of a folder, or "auto"."""
        return self.encoding or "auto"

    def to_json(self) -> dict[str, Any]:
        """Return the values that are not the defaults, as the database stores them."""
        default = asdict(FileFormat())
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FileFormat:
        """Return the format that `to_json` wrote."""
        names = {field.name for field in fields(cls)}
        columns = tuple(values.get("column_names", ()))
        return cls(**{**{name: value for name, value in values.items() if name in names}, "column_names": columns})


def parse_encoding(name: str) -> str:
    """Return the name of an encoding.

    Raises:
        SettingsError: it is unknown.
    """
    if not decoding.is_known_encoding(name):
        raise SettingsError(f'encoding {name!r}: unknown; write, for example, cp1252, or "auto"')
    return name


def parse_delimiter(name: str) -> str:
    """Return a delimiter: a character, or the one that a name stands for.

    Raises:
        SettingsError: it is no single character, or one that cannot separate cells.
    """
    delimiter = DELIMITER_NAMES.get(name.lower(), name)
    if len(delimiter) != 1 or delimiter in "\"'\r\n\0 " + string.ascii_letters + string.digits or ord(delimiter) > 127:
        raise SettingsError(f"delimiter {name!r}: must be one character, such as ; or |, or tab")
    return delimiter


def parse_separator(name: str) -> str:
    """Return the characters between two categories, or those that a name stands for.

    Raises:
        SettingsError: there are none, or one of them is a letter or a digit.
    """
    separator = DELIMITER_NAMES.get(name.lower(), name)
    if not separator or any(map(str.isalnum, separator)):
        raise SettingsError(f"separator {name!r}: must be characters such as ; or |, without letters and digits")
    return separator


def parse_column_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the column names of a comma-separated list.

    Raises:
        SettingsError: a name is empty or occurs twice.
    """
    parts = tuple(name.strip() for name in (names.split(",") if isinstance(names, str) else names))
    for name in parts:
        if not name or parts.count(name) > 1:
            raise SettingsError(f"columns {','.join(parts)!r}: each column must have a name of its own")
    return parts


def show_delimiter(delimiter: str) -> str:
    """Return a delimiter as users can read it: "," as such, and "tab"."""
    return "tab" if delimiter == "\t" else delimiter
