"""Read the array of a JSON document, one record at a time, and tell JSON documents from JSON Lines.

The records are decoded one after the other from a buffer, so memory holds a few records, whatever the document's size.
A record that is no object is rejected alone. A record that is not JSON makes the rest unreadable: the file is refused.

The content decides, not the suffix, because both kinds are found under both suffixes. A file whose first line is
complete and followed by another line is JSON Lines. If the first line is not complete, the file is a document, unless
it does not begin with a bracket, or its second line is an object: then it is JSON Lines with an invalid line.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

from classifier.exceptions import SourceError
from classifier.ingest import json_lines
from classifier.ingest.columns import Columns, RawChunk
from classifier.ingest.file_format import FileFormat
from classifier.ingest.json_lines import MAX_LINE
from classifier.ingest.text_files import SourceFile, open_text, resolve_encoding

Shape = Literal["lines", "line", "document"]

_BLOCK_BYTES = 2**18
_SPACE = re.compile(r"[ \t\n\r]*")
_MAX_ARRAYS = 20
"""Keys that an error names."""

MAX_KEYS = 100
"""Keys of the first record that a description has."""


def read_json(path: SourceFile, columns: Columns, chunk_rows: int, file_format: FileFormat) -> Iterator[RawChunk]:
    """Yield the rows of a JSON document or of JSON Lines, in chunks of at most `chunk_rows`.

    Raises:
        SourceError: the file is not JSON, or its array cannot be found.
    """
    location = _locate(path, columns, file_format)
    if location.is_lines:
        yield from json_lines.read_json_lines(path, columns, chunk_rows, location.encoding)
        return
    with open_text(path, location.encoding) as file:
        yield from json_lines.read_records(path, columns, chunk_rows, _records(path, file, location))


def find_keys(path: SourceFile, columns: Columns, file_format: FileFormat) -> list[str]:
    """Return the keys of the first object.

    Raises:
        SourceError: the file is not JSON, or its array cannot be found.
    """
    location = _locate(path, columns, file_format)
    with open_text(path, location.encoding) as file:
        if location.is_lines:
            line = file.readline(MAX_LINE)
            record = json.loads(line) if _is_json(line) else None
        else:
            record = next(_records(path, file, location), None)
    return list(record)[:MAX_KEYS] if isinstance(record, dict) else []


@dataclass(frozen=True, slots=True)
class _Location:
    """Where a file's records are. `keys` lead to the array of a document; None if the document is the record."""

    encoding: str
    is_lines: bool
    keys: tuple[str, ...] | None


def _locate(path: SourceFile, columns: Columns, file_format: FileFormat) -> _Location:
    encoding = resolve_encoding(path, file_format.table_encoding)
    if file_format.records:
        return _Location(encoding, False, tuple(file_format.records.split(".")))
    shape = find_shape(path, encoding)
    keys = None if shape == "lines" else _find_array(path, columns, encoding)
    return _Location(encoding, keys is None and shape != "document", None if keys is None else tuple(keys))


def _records(path: SourceFile, file: BinaryIO, location: _Location) -> Iterator[object]:
    """Yield the records of a document."""
    scanner = _Scanner(path, file)
    if location.keys is None:
        yield scanner.value()
    else:
        yield from _enter(path, scanner, location.keys)
    scanner.end()


def find_shape(path: SourceFile, encoding: str) -> Shape:
    """Return whether a file is JSON Lines, one line that may be either, or a document of several lines."""
    with open_text(path, encoding) as file:
        lines = (line for line in iter(lambda: file.readline(MAX_LINE + 1), b"") if not line.isspace())
        first = part = next(lines, b"")
        while len(part) > MAX_LINE and not part.endswith(b"\n"):
            part = file.readline(MAX_LINE + 1)
        second = next(lines, b"")
    if first.lstrip()[:1] not in {b"[", b"{"}:
        return "lines"
    if len(first) <= MAX_LINE and _is_json(first):
        return "lines" if second else "line"
    if first.rstrip().endswith((b"[", b"{", b",", b":")):  # the line of a printed document, not a cut one
        return "document"
    if first.lstrip().startswith(b"{") and (not second or (second.lstrip().startswith(b"{") and _is_json(second))):
        return "line" if len(first) > MAX_LINE and not second else "lines"
    return "document"


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


_LOOKAHEAD = 3
"""Characters after a value that must be known: "1e+" may continue in the next block, and is decoded as 1 until then."""


class _Scanner:
    """Decodes the values of a JSON document one after the other."""

    def __init__(self, path: SourceFile, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._text, self._position = "", 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._ended = False
        self._start = 0

    def peek(self) -> str:
        """Return the next character that is not white space, or "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._text) or not self._read_more():
                return self._text[self._position : self._position + 1]

    def take(self, expected: str) -> str:
        """Consume the next character that is not white space, which must be one of those expected."""
        character = self.peek()
        if not character or character not in expected:
            what = " or ".join(repr(character) for character in expected)
            raise self._error(f"{what} expected" + ("" if character else ", but the file ends"))
        self._position += 1
        return character

    def end(self) -> None:
        """Raise `SourceError` unless only white space is left."""
        if self.peek():
            raise self._error("the end of the file expected after the first value")

    def value(self) -> object:
        """Decode and consume the next value."""
        self.peek()
        while True:
            try:
                value, end = json_lines.DECODER.raw_decode(self._text, self._position)
            except RecursionError as error:
                raise self._error("nested too deeply") from error
            except ValueError as error:
                if len(self._text) - self._position > MAX_LINE:
                    raise self._error(f"a value has more than {MAX_LINE:,} characters") from error
                if not self._read_more():
                    problem = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
                    raise self._error(problem) from error
                continue
            if self._ended or len(self._text) - end >= _LOOKAHEAD:
                self._position = end
                return value
            self._read_more()

    def _read_more(self) -> bool:
        """Read as much again as is not consumed, up to the limit, so that a long value is not decoded often."""
        if self._ended:
            return False
        pending = len(self._text) - self._position
        size = max(_BLOCK_BYTES, min(pending, MAX_LINE - pending))
        block = self._file.read(size)
        self._ended = not block
        self._start += self._position
        self._text = self._text[self._position :] + self._decoder.decode(block, self._ended)
        self._position = 0
        return not self._ended

    def _error(self, problem: str) -> SourceError:
        where = f"character {self._start + self._position + 1:,}"
        return SourceError(f"{self._path}: not JSON at {where}: {problem}; fix the file, or write JSON Lines")


def _members(scanner: _Scanner) -> Iterator[str]:
    """Yield the keys of an object. The caller consumes the value of each key."""
    scanner.take("{")
    if scanner.peek() == "}":
        scanner.take("}")
        return
    while True:
        if scanner.peek() != '"':
            scanner.take('"')
        yield str(scanner.value())
        if scanner.take(",}") == "}":
            return


def _elements(scanner: _Scanner) -> Iterator[object]:
    """Yield the values of an array."""
    scanner.take("[")
    if scanner.peek() == "]":
        scanner.take("]")
        return
    while True:
        yield scanner.value()
        if scanner.take(",]") == "]":
            return


def _find_array(path: SourceFile, columns: Columns, encoding: str) -> list[str] | None:
    """Return the keys that lead to the records: none for an array, None if the object itself is a record.

    Raises:
        SourceError: the object has several arrays of objects, or none and no text.
    """
    with open_text(path, encoding) as file:
        scanner = _Scanner(path, file)
        if scanner.peek() == "[":
            return []
        keys, arrays = _survey(scanner)
    if len(arrays) == 1 and not (set(columns.required_in(keys)) <= set(keys)):
        return arrays
    if len(arrays) > 1:
        shown = ", ".join(map(repr, arrays[:_MAX_ARRAYS]))
        raise SourceError(f"{path}: has several arrays: {shown}; name one with --records")
    return None


def _survey(scanner: _Scanner) -> tuple[list[str], list[str]]:
    """Return the keys of an object, and those whose values are arrays with an object."""
    keys, arrays = [], []
    for key in _members(scanner):
        keys.append(key)
        scanner.take(":")
        if scanner.peek() != "[":
            scanner.value()
            continue
        kinds = {isinstance(element, dict) for element in _elements(scanner)}
        if True in kinds:
            arrays.append(key)
    return keys, arrays


def _enter(path: SourceFile, scanner: _Scanner, keys: Sequence[str]) -> Iterator[object]:
    """Yield the records of the array to which the keys lead, and consume the objects around it."""
    for depth, target in enumerate(keys):
        name = ".".join(keys[: depth + 1])
        if scanner.peek() != "{":
            raise SourceError(f"{path}: --records {name}: not found, because there is no object")
        present = []
        for key in _members(scanner):
            present.append(key)
            scanner.take(":")
            if key == target:
                break
            scanner.value()
        else:
            raise SourceError(f"{path}: --records {name}: not found; the keys are {', '.join(map(repr, present[:20]))}")
    if scanner.peek() != "[":
        raise SourceError(f"{path}: --records {'.'.join(keys)}: not an array; name the key of an array")
    yield from _elements(scanner)
    for _ in keys:
        while scanner.take(",}") == ",":
            scanner.value()
            scanner.take(":")
            scanner.value()
