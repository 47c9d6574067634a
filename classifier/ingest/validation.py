"""Validate rows once, when they are read; all other code trusts them.

Columns are checked one after the other, as lists of Python strings, because a text may hold characters that no Arrow or
NumPy string can. Hashing and folding the texts takes nearly all the time. Reasons never quote a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pandas as pd

from classifier.articles import SPLITS, RejectedRow
from classifier.ingest.category_values import CategoryRules, flatten
from classifier.ingest.columns import Cell, RawChunk, is_category_field
from classifier.ingest.fingerprints import fingerprint, text_hash
from classifier.ingest.rejected_rows import row_json
from classifier.ingest.timestamps import DateRules
from classifier.names import MAX_CATEGORY_LENGTH, control_character, shorten_name

MAX_CLOCK_SKEW = timedelta(days=1)
"""How far in the future a time may be: an unnamed time zone accounts for half a day, an embargo for some hours."""

MAX_LENGTHS = {"id": 400, "source": 200, "category": MAX_CATEGORY_LENGTH, "title": 2000, "url": 4000}
"""In characters. An id and a source together fit in one entry of a Postgres index, 2,704 bytes."""

ROW_COLUMNS = (
    "source", "external_id", "text", "text_hash", "fingerprint", "category", "split", "published_at", "title", "url",
    "position",
)  # fmt: skip

# the text comes last, so that the columns that identify a rejected row survive the cut
_REJECTED_COLUMNS = ("id", "source", "category", "split", "published_at", "url", "title", "text")

DEFAULT_DATES = DateRules()
DEFAULT_CATEGORIES = CategoryRules()

_Values = dict[str, list[Any]]
"""Of each field, a string or None for each row; of categories, also tuples of strings."""

_Fault = tuple[int, str]
"""The index of a row, and what is invalid."""


@dataclass(frozen=True, slots=True)
class ValidatedChunk:
    """Valid rows with the columns `ROW_COLUMNS`, and the rejected rows.

    The rows' last columns are the fields that hold the categories of named tasks. Categories are a name, a tuple of
    several in alphabetical order, or None if the row has no annotation; `repeated` rows have a category twice.

    `text_hash` and `fingerprint` are the SHA-256 of the text and of the folded text. `category`, `split`,
    `published_at` (in UTC), `title` and `url` are None if the row has no value. `renamed` maps categories to their
    stored names, if these differ in more than white space at the ends. `bad_dates` are the times of valid rows that
    cannot be read or are in the future, and are therefore left out.
    """

    rows: pd.DataFrame
    rejected: tuple[RejectedRow, ...]
    renamed: Mapping[str, str]
    bad_dates: tuple[str, ...] = ()
    repeated: int = 0


def validate_chunk(
    chunk: RawChunk,
    *,
    default_source: str,
    max_text_bytes: int = 1_000_000,
    zone: tzinfo = UTC,
    dates: DateRules = DEFAULT_DATES,
    categories: CategoryRules = DEFAULT_CATEGORIES,
    now: datetime | None = None,
) -> ValidatedChunk:
    """Return the valid rows, and the rejected rows with the first reason of each.

    `default_source` is the source of rows that name no source. In a file without an id column, a row's id is its
    address, else the text's hash. `zone` is the time zone of times that name no time zone; `now` is the present time.
    `dates` says which times are read, and whether a row with another time is rejected. `categories` says how values
    become categories, and how many a row may have.
    """
    raw: _Values = {name: chunk.frame[name].tolist() for name in chunk.frame.columns}
    of_categories = [name for name in raw if is_category_field(name)]
    unchanged = {"text", "position", *of_categories}
    values = {name: raw[name] if name in unchanged else _strip(raw[name]) for name in raw}
    values |= {name: categories.normalize(raw[name]) for name in of_categories}
    values["title"] = [value and " ".join(value.split()) for value in values["title"]]
    moments = [dates.parse(value, zone) if value else None for value in values["published_at"]]
    bad_dates = _find_date_faults(values["published_at"], moments, dates, (now or datetime.now(UTC)) + MAX_CLOCK_SKEW)
    faults: dict[int, str] = {}
    for index, reason in _find_faults(values, max_text_bytes, categories):
        faults.setdefault(index, reason)
    if dates.strict:
        faults = {**bad_dates, **faults}
    else:
        moments = [None if index in bad_dates else moment for index, moment in enumerate(moments)]
    rejected = [replace(row, source=default_source) for row in chunk.rejected]
    rejected += [_reject(raw, values, index, reason, default_source) for index, reason in sorted(faults.items())]
    valid = [index for index in range(len(moments)) if index not in faults]
    renamed: dict[str, str] = {}
    repeated = set()
    for name in of_categories:
        originals, stored = raw[name], values[name]
        for index in (index for index in valid if originals[index] != stored[index]):
            renamed.update(categories.renamed(originals[index]))
            repeated |= {index} if categories.has_repeated(originals[index]) else set()
        values[name] = categories.assign(name, stored)
    left_out = tuple(values["published_at"][index] or "" for index in bad_dates if index not in faults)
    rows = _make_rows(values, moments, valid, default_source)
    return ValidatedChunk(rows, tuple(rejected), renamed, left_out, len(repeated))


def _strip(values: Iterable[str | None]) -> list[str | None]:
    return [value and value.strip() for value in values]


def _find_faults(values: _Values, max_text_bytes: int, categories: CategoryRules) -> Iterator[_Fault]:
    """Yield every fault of every row. Faults that forbid quoting a value come before those that quote it."""
    of_categories = [field for field in values if is_category_field(field)]
    for field in values:
        yield from _find_character_faults(field, values[field])
    yield from _find_text_faults(values["text"], max_text_bytes)
    yield from _find_control_characters(values)
    yield from ((index, "id is empty") for index, value in enumerate(values["id"]) if value == "")
    for field in (*MAX_LENGTHS, *of_categories[1:]):
        limit = MAX_LENGTHS.get(field, MAX_CATEGORY_LENGTH)
        yield from (
            (index, f"{field} is longer than {limit} characters")
            for index, value in _enumerate(field, values[field])
            if value and len(value) > limit
        )
    for field in of_categories:
        yield from categories.find_faults(field, values[field])
    for index, value in enumerate(values["split"]):
        if value and value.lower() not in SPLITS:
            yield index, f"split {value[:40]!r} is not one of {', '.join(SPLITS)}"


def _find_date_faults(
    values: list[str | None], moments: list[datetime | None], dates: DateRules, latest: datetime
) -> dict[int, str]:
    """Return what is invalid in the times that cannot be read or are in the future, by row."""
    form = f"a date of the form {dates.format}" if dates.format else "a date such as 2024-03-31 or 2024-03-31T10:00:00Z"
    faults = {}
    for index, (value, moment) in enumerate(zip(values, moments, strict=True)):
        if value and moment is None:
            faults[index] = f"published_at {value[:40]!r} is not {form}"
        elif value and moment and moment > latest:
            faults[index] = f"published_at {value[:40]!r} is in the future"
    return faults


def _find_control_characters(values: _Values) -> Iterator[_Fault]:
    for field in (*filter(is_category_field, values), "title", "url"):
        for index, value in _enumerate(field, values[field]):
            if value and (control := control_character(value)):
                yield index, f"{field} has the control character {control}"


def _find_character_faults(field: str, cells: Sequence[Cell]) -> Iterator[_Fault]:
    for index, value in _enumerate(field, cells):
        if value and (problem := find_unstorable(value)):
            yield index, f"{field} has {problem}"


def _enumerate(field: str, cells: Sequence[Cell]) -> Iterable[tuple[int, str | None]]:
    """Return each value with the index of its row; only categories have lists."""
    return flatten(cells) if is_category_field(field) else enumerate(cells)  # type: ignore[arg-type]


def find_unstorable(value: str) -> str | None:
    """Return a description of the first character that Postgres cannot store in a text, or None."""
    if "\0" in value:
        return "a NUL character"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        # surrogateescape stores an undecodable byte as U+DC80 to U+DCFF
        return f"byte 0x{code - 0xDC00:02x}, which is not UTF-8" if 0xDC80 <= code <= 0xDCFF else "a lone surrogate"
    return None


def id_of_address(address: str) -> str:
    """Return the id of an article that has no other: its address, or its beginning and a hash if it is too long."""
    limit = MAX_LENGTHS["id"]
    return address if len(address) <= limit else shorten_name(address, limit)


def _find_text_faults(texts: list[str | None], max_bytes: int) -> Iterator[_Fault]:
    for index, text in enumerate(texts):
        if not text or text.isspace():
            yield index, "text is empty"
        elif len(text) * 4 > max_bytes and (size := len(text.encode("utf-8", "surrogatepass"))) > max_bytes:
            yield index, f"text has {size:,} bytes, more than the maximum of {max_bytes:,}"


def _reject(raw: _Values, values: _Values, index: int, reason: str, default_source: str) -> RejectedRow:
    own = values["source"][index]
    source = own if own and len(own) <= MAX_LENGTHS["source"] and not find_unstorable(own) else default_source
    after = _REJECTED_COLUMNS.index("category") + 1
    of_tasks = [name for name in raw if is_category_field(name) and name != "category"]
    row = {field: raw[field][index] for field in (*_REJECTED_COLUMNS[:after], *of_tasks, *_REJECTED_COLUMNS[after:])}
    return RejectedRow(source, str(raw["position"][index]), reason, row_json(row))


def _make_rows(values: _Values, moments: list[datetime | None], valid: list[int], default_source: str) -> pd.DataFrame:
    selected = {name: [column[index] for index in valid] for name, column in values.items()}
    texts = [text or "" for text in selected["text"]]
    hashes = [text_hash(text) for text in texts]
    columns = {
        "source": [source or default_source for source in selected["source"]],
        "external_id": [
            own or (address and id_of_address(address)) or digest.hex()[:32]
            for own, address, digest in zip(selected["id"], selected["url"], hashes, strict=True)
        ],
        "text": texts,
        "text_hash": hashes,
        "fingerprint": [fingerprint(text) for text in texts],
        "category": selected["category"],
        "split": [split.lower() if split else None for split in selected["split"]],
        "published_at": [moments[index] for index in valid],
        "title": [title or None for title in selected["title"]],
        "url": [address or None for address in selected["url"]],
        "position": selected["position"],
    }
    # without a dtype, pandas would convert None to NaN and datetimes to its own type
    columns |= {name: cells for name, cells in selected.items() if is_category_field(name)}
    names = (*ROW_COLUMNS, *(name for name in columns if name not in ROW_COLUMNS))
    return pd.DataFrame({name: pd.Series(columns[name], dtype=object) for name in names})
