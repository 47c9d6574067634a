"""Read the file that declares sources, `sources.toml`, and validate it before any source is read.

An error is one line: the file, the source, the key, and what to do. The file must not hold a secret: the URL of a
database comes from an environment variable or an Airflow connection.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from classifier.articles import Task
from classifier.exceptions import SettingsError, SourceError
from classifier.ingest import decoding, file_format, timestamps
from classifier.ingest.category_values import CategoryRules
from classifier.ingest.columns import Columns, TaskColumn
from classifier.ingest.file_format import FileFormat
from classifier.ingest.splits import Proportions
from classifier.ingest.watermarks import Unit
from classifier.store import urls

ENTRY_FIELDS = (
    "id", "text", "title", "body", "summary", "category", "categories", "author", "link", "published_at", "updated_at",
)  # fmt: skip
"""The fields of a feed's entry.

`body` is the content, else the summary, else the title; `text` is the title above the body. `category` is the first of
the `categories`, which are joined with "; ".
"""

_MAX_NAME_LENGTH = 200
_NOT_IN_ROWS = {
    "name", "group", "max_rejected", "min_rejected_rows", "proportions", "timeout_s", "allow_private", "watermark_unit",
    "overlap_number",
}  # fmt: skip

_LATER_KEYS = ("task", "separator", "none_value")
"""Keys that came later: while a source has none of them, its rows are the same as before."""


def _as_value_error(parse: Callable[[Any], Any], value: Any) -> Any:
    """Return what a function makes of a value; its `SettingsError` becomes an error of the key."""
    try:
        return parse(value)
    except SettingsError as error:
        raise ValueError(str(error)) from error


def _check_separator(value: str | None) -> str | None:
    return value if value is None else _as_value_error(file_format.parse_separator, value)


class ColumnMapping(BaseModel):
    """The source's columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = "text"
    category: str | dict[str, str] | None = None
    id: str | None = None
    split: str | None = None
    published_at: str | None = None
    source: str | None = None
    title: str | None = None
    url: str | None = None

    @field_validator("category", mode="before")
    @classmethod
    def _is_column_or_table(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        if not isinstance(value, dict) or not value or not all(isinstance(name, str) for name in value.values()):
            raise ValueError('must be a column, or a column for each task, such as { topic = "topics" }')
        return value

    @property
    def columns(self) -> Columns:
        """The columns for the readers."""
        values = self.model_dump()
        if isinstance(self.category, dict):
            categories = tuple(TaskColumn(*each) for each in self.category.items())
            values |= {"category": None, "categories": categories}
        return Columns(**values)


class EntryMapping(ColumnMapping):
    """The fields of a feed's entries that hold the columns."""

    text: str = "body"
    title: str | None = "title"
    url: str | None = "link"
    id: str | None = "id"
    published_at: str | None = "published_at"

    @field_validator("*")
    @classmethod
    def _exists(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        for name in value.values() if isinstance(value, dict) else [value]:
            if name is not None and name not in ENTRY_FIELDS:
                raise ValueError(f"{name!r} is not a field of a feed entry; choose from {', '.join(ENTRY_FIELDS)}")
        return value


class BaseSource(BaseModel):
    """The keys of every kind of source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(max_length=_MAX_NAME_LENGTH, pattern=r"^\w[\w .-]*$")
    group: str = Field("hourly", min_length=1)
    max_rejected: float = Field(0.05, ge=0, le=1)
    min_rejected_rows: int = Field(0, ge=0)
    timezone: str = "UTC"
    proportions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    task: str | None = Field(None, min_length=1)
    mapping: ColumnMapping = Field(default=ColumnMapping(), alias="columns")

    @property
    def columns(self) -> Columns:
        """The columns for the readers."""
        return self.mapping.columns

    def category_rules(self, tasks: Mapping[str, Task]) -> CategoryRules:
        """Return how values become categories of the tasks, which are those of the fields that hold categories."""
        return CategoryRules(getattr(self, "separator", None), getattr(self, "none_value", None), tasks)

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone of times that name no time zone."""
        return ZoneInfo(self.timezone)

    @property
    def split_proportions(self) -> Proportions:
        """The shares of the splits."""
        return Proportions(*self.proportions)

    @property
    def config_sha256(self) -> bytes:
        """The SHA-256 of the keys that decide how the source becomes rows. If it changes, everything is read again."""
        unused = {name for name in _LATER_KEYS if getattr(self, name, None) is None}
        config = self.model_dump_json(exclude=_NOT_IN_ROWS | unused)
        return hashlib.sha256(config.encode()).digest()

    @model_validator(mode="after")
    def _names_tasks_once(self) -> BaseSource:
        key = next((key for key in ("separator", "none_value") if getattr(self, key, None) is not None), None)
        if key is not None and self.mapping.category is None:
            raise ValueError(f"{key} is for categories; name their column, such as columns = {{ category = 'topics' }}")
        if self.task is not None and isinstance(self.mapping.category, dict):
            raise ValueError('names its tasks twice; leave out task, or write category = "COLUMN"')
        return self

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is not a time zone; write, for example, Europe/Athens") from error
        return value

    @field_validator("proportions")
    @classmethod
    def _add_up(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        try:
            Proportions(*value)
        except SettingsError as error:
            raise ValueError(str(error)) from error
        return value


class FilesSource(BaseSource):
    """Files on this machine or in an object store."""

    kind: Literal["files"]
    files: str = Field(min_length=1)
    encoding: str = "auto"
    delimiter: str | None = None
    skip_lines: int = Field(0, ge=0)
    header: bool = True
    column_names: tuple[str, ...] = ()
    records: str | None = Field(None, min_length=1)
    split_folders: bool = False
    date_format: str | None = None
    strict_dates: bool = False
    separator: str | None = None
    none_value: str | None = Field(None, min_length=1)

    _separator = field_validator("separator")(_check_separator)

    @property
    def file_format(self) -> FileFormat:
        """How the files are read."""
        return FileFormat(**{field.name: getattr(self, field.name) for field in fields(FileFormat)})

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, value: str) -> str:
        if not decoding.is_known_encoding(value):
            raise ValueError(f'{value!r} is not an encoding; write, for example, cp1252, or "auto"')
        return value

    @field_validator("delimiter")
    @classmethod
    def _is_delimiter(cls, value: str | None) -> str | None:
        return value if value is None else _as_value_error(file_format.parse_delimiter, value)

    @field_validator("date_format")
    @classmethod
    def _is_date_format(cls, value: str | None) -> str | None:
        return value if value is None else _as_value_error(timestamps.parse_date_format, value)

    @field_validator("column_names")
    @classmethod
    def _are_column_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return value and _as_value_error(file_format.parse_column_names, value)


class FeedSource(BaseSource):
    """An RSS, Atom or JSON feed."""

    kind: Literal["feed"]
    url: str = Field(max_length=1700)
    mapping: EntryMapping = Field(default=EntryMapping(), alias="columns")
    min_rejected_rows: int = Field(5, ge=0)
    timeout_s: float = Field(20, gt=0, le=300)
    allow_private: bool = False
    strip_tracking: bool = True

    @field_validator("url")
    @classmethod
    def _is_web(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError as error:
            raise ValueError(f"is not a URL ({error})") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("is not an http:// or https:// URL")
        if parts.username or parts.password:
            raise ValueError("must not hold a user name or password, because URLs are shown and stored; leave it out")
        return value


class SqlSource(BaseSource):
    """A query of any database that SQLAlchemy opens."""

    kind: Literal["sql"]
    query: str = Field(min_length=1)
    watermark: str | None = None
    watermark_unit: Unit | None = None
    overlap_s: float = Field(60, ge=0, le=366 * 86400)
    overlap_number: float = Field(0, ge=0, le=1e15)
    timeout_s: float = Field(300, gt=0, le=3000)
    min_rejected_rows: int = Field(5, ge=0)
    separator: str | None = None
    none_value: str | None = Field(None, min_length=1)
    url: str | None = None
    url_from: str | None = None
    connection: str | None = None

    _separator = field_validator("separator")(_check_separator)

    @field_validator("url")
    @classmethod
    def _has_no_secret(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                make_url(value)
        except ArgumentError as error:
            raise ValueError("is not a SQLAlchemy URL; write, for example, sqlite:///stories.db") from error
        if value is not None and urls.has_password(value):
            raise ValueError("must not hold a password; set the URL in an environment variable and name it in url_from")
        return value

    @model_validator(mode="after")
    def _one_database(self) -> SqlSource:
        if [self.url, self.url_from, self.connection].count(None) != 2:
            raise ValueError("must have exactly one of url, url_from (an environment variable) and connection")
        return self


DeclaredSource = FilesSource | FeedSource | SqlSource

_KINDS: dict[str, type[DeclaredSource]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(DeclaredSource)
}
_ADAPTER: TypeAdapter[DeclaredSource] = TypeAdapter(Annotated[DeclaredSource, Field(discriminator="kind")])


def load_sources(path: Path) -> dict[str, DeclaredSource]:
    """Return the declared sources by name.

    Raises:
        SourceError: the file cannot be read, or a source in it is invalid.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); see sources.example.toml") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8; save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SourceError(f"{path}: not TOML ({error})") from error
    for key in tables:
        if key != "sources":
            raise SourceError(f"{path}: key {key!r}: unknown; a source is a table such as [sources.{key}]")
    sources = tables.get("sources")
    if not isinstance(sources, dict) or not sources:
        raise SourceError(f"{path}: declares no source; see sources.example.toml")
    return {name: _validated(path, name, table) for name, table in sources.items()}


def _validated(path: Path, name: str, table: Any) -> DeclaredSource:
    if not isinstance(table, dict):
        raise SourceError(f"{path}: source {name!r}: not a table; write [sources.{name}]")
    if str(table.get("kind")) not in _KINDS:
        raise SourceError(f"{path}: source {name!r}, key 'kind': must be one of {', '.join(_KINDS)}")
    try:
        return _ADAPTER.validate_python({**_with_absolute_files(path, table), "name": name})
    except ValidationError as error:
        raise SourceError(f"{path}: source {name!r}{_format_problem(table['kind'], error.errors()[0])}") from error


def _with_absolute_files(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """Return a source whose relative files are resolved against the folder of `sources.toml`."""
    files = table.get("files")
    if not isinstance(files, str) or "://" in files or not files:
        return table
    return {**table, "files": str(path.absolute().parent / Path(files).expanduser())}


def _format_problem(kind: str, error: Any) -> str:
    """Return the key of a validation error, and what to do."""
    key = ".".join(str(part) for part in error["loc"][1:])
    where = f", key {key!r}: " if key else ": "
    if error["type"] == "extra_forbidden":
        model: type[BaseModel] = _KINDS[kind]
        if key.startswith("columns."):
            model = ColumnMapping
        keys = [field.alias or name for name, field in model.model_fields.items() if name != "name"]
        return f"{where}unknown; choose from {', '.join(keys)}"
    if error["type"] == "missing":
        return f"{where}missing"
    message: str = error["msg"]
    return where + message.removeprefix("Value error, ").replace("Input should", "should").partition("\n")[0]
