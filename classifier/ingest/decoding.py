"""Recognise the encoding of a file, and turn any into UTF-8.

A file is UTF-8 unless it cannot be: where lines of valid UTF-8 stand beside lines that are none, it is
a UTF-8 file with some bad rows, which are set aside, and not one of another encoding, which would garble
all the good ones. charset-normalizer decides the rest. It knows scripts well and Western code pages
badly ("Besançon" becomes cp1250), so for Latin script cp1252 is taken wherever it gives only words.
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
"""What another code page's letters become, read as cp1252."""

MIN_UTF8_SHARE = 0.2
"""Of the lines that are not ASCII; from this share of valid ones on, the file is UTF-8 with bad rows."""

_SAMPLE = 2**15
_LIKE_CP1252 = ["cp1252", "latin_1", "cp1254", "iso8859_9", "iso8859_15", "cp1258"]


def is_utf8(encoding: str) -> bool:
    """Say whether a codec's name stands for UTF-8."""
    return codecs.lookup(encoding).name == "utf-8"


def is_known_encoding(encoding: str) -> bool:
    """Say whether a name is that of a text encoding, or "auto"."""
    try:
        return encoding == "auto" or bool(codecs.lookup(encoding)._is_text_encoding)  # noqa: SLF001
    except LookupError:
        return False


def detect_encoding(name: str, blocks: Iterable[bytes]) -> str:
    """Return the encoding of a file's bytes.

    Raises:
        SourceError: they are not UTF-8, and nothing else is likely.
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
            return _guessed(name, block)
    return "utf-8"


def _guessed(name: str, block: bytes) -> str:
    lines = list(_telling(block))
    if sum(map(_is_valid, lines)) >= MIN_UTF8_SHARE * len(lines):
        return "utf-8"
    sample = b"\n".join(lines)[:_SAMPLE]
    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        raise SourceError(f'{name}: its encoding is not recognised; name it, for example encoding = "cp1252"')
    return _western(sample, matches) if _is_latin(str(best)) else best.encoding


def _western(sample: bytes, matches: CharsetMatches) -> str:
    """Choose among the code pages of Latin script: cp1252, unless it breaks words or another fits a language better."""
    if _SYMBOL_IN_A_WORD.search(sample.decode("cp1252", "replace").replace("\ufffd", "\x80")):
        other = from_bytes(sample, cp_exclusion=_LIKE_CP1252).best()
        return other.encoding if other else "cp1252"
    # Windows alone: the code pages of DOS, Macintosh and ISO make letters or controls of quotation marks
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


def _telling(block: bytes) -> Iterator[bytes]:
    return (line for line in block.splitlines() if _HIGH.search(line))


def _is_latin(text: str) -> bool:
    letters = [letter for letter in text if ord(letter) > 127 and letter.isalpha()]
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return latin * 2 >= len(letters)


class Utf8Stream(io.RawIOBase):
    """A file's bytes as UTF-8. What the encoding does not have stays a byte that is no UTF-8: a bad row."""

    def __init__(self, name: str, file: BinaryIO, encoding: str) -> None:
        self._name, self._file, self._encoding = name, file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._rest = b""
        self._ended = False

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as one block goes; 0 at the end."""
        while not self._rest and not self._ended:
            block = self._file.read(2**18)
            self._ended = not block
            self._rest = self._as_utf8(block)
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _as_utf8(self, block: bytes) -> bytes:
        try:
            return self._decoder.decode(block, self._ended).encode("utf-8", "surrogateescape")
        except UnicodeError as error:
            raise SourceError(f"{self._name}: the file is not {self._encoding}, or is damaged") from error
