"""Validate rows once, at the edge; what leaves here is trusted everywhere else.

Columns are checked one after the other as lists of Python strings: a text may hold what no Arrow or
NumPy string can, and hashing and folding it takes nearly all the time. Reasons never quote a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

import pandas as pd

from classifier.articles import SPLITS, RejectedRow
from classifier.ingest import timestamps
from classifier.ingest.columns import FIELDS, RawChunk
from classifier.ingest.fingerprints import fingerprint, text_hash
from classifier.ingest.rejected_rows import row_json
from classifier.names import MAX_CATEGORY_LENGTH, control_character, normalize_category

MAX_CLOCK_SKEW = timedelta(days=1)
"""How far in the future a moment may lie: a zone that is not named makes half a day, and an embargo some hours."""

MAX_LENGTHS = {"id": 400, "source": 200, "category": MAX_CATEGORY_LENGTH}
"""Characters. An id and a source together fit in one entry of a Postgres index, 2,704 bytes."""

ROW_COLUMNS = (
    "source", "external_id", "text", "text_hash", "fingerprint", "category", "split", "published_at", "position",
)  # fmt: skip

# the text comes last, so that what identifies a rejected row survives the cut
_MOST_TELLING_FIRST = ("id", "source", "category", "split", "published_at", "text")

_Values = dict[str, list[str | None]]
_Fault = tuple[int, str]
"""The index of a row, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ValidatedChunk:
    """Valid rows, with the columns `ROW_COLUMNS`, and the rows that were set aside.

    `text_hash` and `fingerprint` are SHA-256 of the text and of the folded text; `category`,
    `split` and `published_at`, a moment in UTC, are None where the row has none. `renamed` has the categories that
    are stored in another form than they came in, white space apart.
    """

    rows: pd.DataFrame
    rejected: tuple[RejectedRow, ...]
    renamed: Mapping[str, str]


def validate_chunk(
    chunk: RawChunk,
    *,
    default_source: str,
    max_text_bytes: int = 1_000_000,
    zone: tzinfo = UTC,
    now: datetime | None = None,
) -> ValidatedChunk:
    """Return the rows that can be stored, and the others with the first thing wrong with each.

    `default_source` names the source of rows that do not name one. A row of a file without an id
    column gets its text's hash as its id. `zone` is that of moments that name none; `now` is the present.
    """
    raw: _Values = {name: chunk.frame[name].tolist() for name in (*FIELDS, "position")}
    values = {name: raw[name] if name in {"text", "position"} else _stripped(raw[name]) for name in raw}
    stripped = values["category"]
    values["category"] = [value and normalize_category(value) for value in stripped]
    moments = [timestamps.parse_timestamp(value, zone) if value else None for value in values["published_at"]]
    faults: dict[int, str] = {}
    for index, reason in _faults(values, moments, max_text_bytes, (now or datetime.now(UTC)) + MAX_CLOCK_SKEW):
        faults.setdefault(index, reason)
    rejected = [replace(row, source=default_source) for row in chunk.rejected]
    rejected += [_rejected(raw, values, index, reason, default_source) for index, reason in sorted(faults.items())]
    valid = [index for index in range(len(moments)) if index not in faults]
    renamed = {
        came: stored
        for index in valid
        if (came := stripped[index]) and (stored := values["category"][index]) and came != stored
    }
    return ValidatedChunk(_rows(values, moments, valid, default_source), tuple(rejected), renamed)


def _stripped(values: Iterable[str | None]) -> list[str | None]:
    return [value and value.strip() for value in values]


def _faults(values: _Values, moments: list[datetime | None], max_text_bytes: int, latest: datetime) -> Iterator[_Fault]:
    """Yield every fault of every row, those that forbid quoting a value before those that quote it."""
    for field in FIELDS:
        yield from _character_faults(field, values[field])
    yield from _text_faults(values["text"], max_text_bytes)
    for index, value in enumerate(values["category"]):
        if value and (control := control_character(value)):
            yield index, f"category has the control character {control}"
    yield from ((index, "id is empty") for index, value in enumerate(values["id"]) if value == "")
    for field, limit in MAX_LENGTHS.items():
        yield from (
            (index, f"{field} is longer than {limit} characters")
            for index, value in enumerate(values[field])
            if value and len(value) > limit
        )
    for index, value in enumerate(values["split"]):
        if value and value.lower() not in SPLITS:
            yield index, f"split {value[:40]!r} is not one of {', '.join(SPLITS)}"
    for index, (value, moment) in enumerate(zip(values["published_at"], moments, strict=True)):
        if value and moment is None:
            yield index, f"published_at {value[:40]!r} is not a date such as 2024-03-31 or 2024-03-31T10:00:00Z"
        elif value and moment and moment > latest:
            yield index, f"published_at {value[:40]!r} lies in the future"


def _character_faults(field: str, values: list[str | None]) -> Iterator[_Fault]:
    for index, value in enumerate(values):
        if value and (problem := find_unstorable(value)):
            yield index, f"{field} has {problem}"


def find_unstorable(value: str) -> str | None:
    """Return what in the value no Postgres text can hold, None where there is nothing."""
    if "\0" in value:
        return "a NUL character"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        # U+DC80 to U+DCFF is how surrogateescape keeps an undecodable byte
        return f"byte 0x{code - 0xDC00:02x}, which is not UTF-8" if 0xDC80 <= code <= 0xDCFF else "a lone surrogate"
    return None


def _text_faults(texts: list[str | None], max_bytes: int) -> Iterator[_Fault]:
    for index, text in enumerate(texts):
        if not text or text.isspace():
            yield index, "text is empty"
        elif len(text) * 4 > max_bytes and (size := len(text.encode("utf-8", "surrogatepass"))) > max_bytes:
            yield index, f"text is {size:,} bytes long; at most {max_bytes:,} are taken"


def _rejected(raw: _Values, values: _Values, index: int, reason: str, default_source: str) -> RejectedRow:
    own = values["source"][index]
    source = own if own and len(own) <= MAX_LENGTHS["source"] and not find_unstorable(own) else default_source
    row = {field: raw[field][index] for field in _MOST_TELLING_FIRST}
    return RejectedRow(source, str(raw["position"][index]), reason, row_json(row))


def _rows(values: _Values, moments: list[datetime | None], valid: list[int], default_source: str) -> pd.DataFrame:
    kept = {name: [column[index] for index in valid] for name, column in values.items()}
    texts = [text or "" for text in kept["text"]]
    hashes = [text_hash(text) for text in texts]
    columns = {
        "source": [source or default_source for source in kept["source"]],
        "external_id": [own or digest.hex()[:32] for own, digest in zip(kept["id"], hashes, strict=True)],
        "text": texts,
        "text_hash": hashes,
        "fingerprint": [fingerprint(text) for text in texts],
        "category": [category or None for category in kept["category"]],
        "split": [split.lower() if split else None for split in kept["split"]],
        "published_at": [moments[index] for index in valid],
        "position": kept["position"],
    }
    # without a dtype pandas would turn None into NaN and datetimes into its own
    return pd.DataFrame({name: pd.Series(columns[name], dtype=object) for name in ROW_COLUMNS})
