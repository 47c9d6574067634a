"""Detect the encoding of a file, and convert it to UTF-8.

A file with some lines of valid UTF-8 and some invalid lines is a UTF-8 file with invalid rows, which are rejected: any
other encoding would garble the valid rows. For other files charset-normalizer decides. It detects scripts well and
Western code pages badly ("Besançon" becomes cp1250), so for Latin script cp1252 is preferred if it gives only words.
"""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from charset_normalizer import CharsetMatches, from_bytes

from classifier.exceptions import SourceError

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_HIGH = re.compile(rb"[\x80-\xff]")
_SYMBOL_IN_A_WORD = re.compile(
    "[^\\W\\d_][\xa1-\xaa\xac-\xb6\xb8-\xba\xbc-\xbf\u0192\u02c6\u02dc\u2020\u2021\u2030\u2039][^\\W\\d_]|[\x80-\x9f]"
)
"""Letters of another code page, decoded as cp1252."""

MIN_UTF8_SHARE = 0.2
"""If at least this share of the lines that are not ASCII is valid UTF-8, the file is UTF-8 with invalid rows."""

_SAMPLE_BYTES = 2**15
_LIKE_CP1252 = ["cp1252", "latin_1", "cp1254", "iso8859_9", "iso8859_15", "cp1258"]


def is_utf8(encoding: str) -> bool:
    """Return whether a codec's name stands for UTF-8."""
    return codecs.lookup(encoding).name == "utf-8"


def is_known_encoding(encoding: str) -> bool:
    """Return whether a name is that of a text encoding, or "auto"."""
    try:
        return encoding == "auto" or bool(codecs.lookup(encoding)._is_text_encoding)  # noqa: SLF001
    except LookupError:
        return False


def detect_encoding(name: str, blocks: Iterable[bytes]) -> str:
    """Return the encoding of a file's bytes; `name` is the file's name for errors.

    Raises:
        SourceError: the bytes are not UTF-8, and no other encoding is likely.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    for number, block in enumerate(blocks):
        if number == 0:
            for mark, encoding in _MARKS:
                if block.startswith(mark):
                    return encoding
        try:
            decoder.decode(block)
        except UnicodeDecodeError:
            return _guess_encoding(name, block)
    return "utf-8"


def _guess_encoding(name: str, block: bytes) -> str:
    lines = list(_non_ascii_lines(block))
    if sum(map(_is_valid, lines)) >= MIN_UTF8_SHARE * len(lines):
        return "utf-8"
    sample = b"\n".join(lines)[:_SAMPLE_BYTES]
    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        raise SourceError(f'{name}: unknown encoding; name it, for example encoding = "cp1252"')
    return _choose_western(sample, matches) if _is_latin(str(best)) else best.encoding


def _choose_western(sample: bytes, matches: CharsetMatches) -> str:
    """Return a code page of Latin script: cp1252, unless it breaks words or another one fits a language better."""
    if _SYMBOL_IN_A_WORD.search(sample.decode("cp1252", "replace").replace("\ufffd", "\x80")):
        other = from_bytes(sample, cp_exclusion=_LIKE_CP1252).best()
        return other.encoding if other else "cp1252"
    # only Windows code pages: in those of DOS, Macintosh and ISO, quotation marks are letters or control characters
    likely = [match for match in matches if match.encoding.startswith("cp125")]
    same = next((match for match in likely if "cp1252" in {match.encoding, *match.could_be_from_charset}), None)
    best = max(likely, key=lambda match: match.coherence, default=None)
    return "cp1252" if best is None or same is None or same.coherence >= best.coherence else best.encoding


def _is_valid(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _non_ascii_lines(block: bytes) -> Iterator[bytes]:
    return (line for line in block.splitlines() if _HIGH.search(line))


def _is_latin(text: str) -> bool:
    letters = [letter for letter in text if ord(letter) > 127 and letter.isalpha()]
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return latin * 2 >= len(letters)


class Utf8Stream(io.RawIOBase):
    """A file's bytes as UTF-8. A byte that the encoding does not define stays invalid, so its row is rejected."""

    def __init__(self, name: str, file: BinaryIO, encoding: str) -> None:
        self._name, self._file, self._encoding = name, file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._pending = b""
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from at most one block, and return the number of bytes; 0 at the end."""
        while not self._pending and not self._ended:
            block = self._file.read(2**18)
            self._ended = not block
            self._pending = self._convert(block)
        part, self._pending = self._pending[: len(buffer)], self._pending[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _convert(self, block: bytes) -> bytes:
        try:
            return self._decoder.decode(block, self._ended).encode("utf-8", "surrogateescape")
        except UnicodeError as error:
            raise SourceError(f"{self._name}: not {self._encoding}, or damaged; check the encoding") from error
