"""Decide the encoding of a feed: the order of RFC 7303, checked against what the bytes give.

A byte order mark counts before the charset of the HTTP header, and that before the XML declaration. But many servers
send a charset for all their files that is wrong for feeds. So an encoding counts only if the bytes can be decoded with
it, and if the result is not garbled. Bytes that are UTF-8 are nothing else, a word has one script, and a Latin word has
more plain letters than others.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator

from classifier.exceptions import SourceError
from classifier.ingest import decoding

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)
_DECLARATION = re.compile(r"^(\s*<\?xml\b[^>]*?)\s+encoding\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_MARKUP = re.compile(r"<[^<>]*>|&\w+;")
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[\xa1-\xbf])*")
"""Letters, and the symbols that letters of other encodings become."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITHOUT_MARK = ((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_EXTENDED = {"ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030"}
"""What servers that name the first encoding send, as in browsers."""

_UNIVERSAL = {"utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}

MAX_STRANGE = 0.3
"""Share of the words with other letters than ASCII that may be strange."""

_SAMPLE_WORDS = 2000


def decode_feed(url: str, body: bytes, content_type: str) -> str:
    """Return a feed's document as text, without the encoding in its XML declaration.

    Raises:
        SourceError: no encoding that the server or the document names fits the bytes.
    """
    tried: list[str] = []
    for encoding, origin in _candidates(body, content_type):
        text = _decode(body, encoding)
        if text is not None and not _is_garbled(body, text, encoding):
            return _DECLARATION.sub(r"\1", text.removeprefix("\ufeff"), count=1)
        tried.append(f"{encoding} ({origin})")
    raise SourceError(
        f"{url}: its encoding cannot be read: {' and '.join(dict.fromkeys(tried))} "
        f"{'do' if len(tried) > 1 else 'does'} not fit its bytes; ask its publisher to declare the encoding"
    )


def _candidates(body: bytes, content_type: str) -> Iterator[tuple[str, str]]:
    """Yield the encodings in the order of RFC 7303, each with where it comes from."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            yield encoding, "byte order mark"
            return
    in_header = _CHARSET.search(content_type)
    wide = next((encoding for start, encoding in _WITHOUT_MARK if body.startswith(start)), None)
    declared = _DECLARATION.match(body[:1024].decode(wide or "latin-1", "replace"))
    names = [(in_header[1], "HTTP")] if in_header else []
    names += [(declared[2] or declared[3], "XML")] if declared else []
    encodings = [(codecs.lookup(name).name, origin) for name, origin in names if _is_known(name)]
    yield from ((_EXTENDED.get(encoding, encoding), origin) for encoding, origin in encodings)
    if wide:
        yield wide, "the first bytes"
    elif not declared or _decode(body, "utf-8") is not None:
        yield "utf-8", "the default of XML"
    if not encodings:
        yield "cp1252", "the most frequent one of older feeds"


def _is_known(name: str) -> bool:
    return name.lower() != "auto" and decoding.is_known_encoding(name)


def _decode(body: bytes, encoding: str) -> str | None:
    try:
        text = body.decode(encoding)
        text.encode()  # some codecs decode to lone surrogates
    except (UnicodeError, ValueError):
        return None
    return text


def _is_garbled(body: bytes, text: str, encoding: str) -> bool:
    """Return whether the text is that of another encoding."""
    if encoding in _UNIVERSAL or text.isascii():
        return False
    if _decode(body, "utf-8") is not None:
        return True
    words = [word for word in _WORD.findall(_MARKUP.sub(" ", text)) if not word.isascii()][:_SAMPLE_WORDS]
    return sum(map(_is_strange, words)) > MAX_STRANGE * len(words)


def _is_strange(word: str) -> bool:
    """Return whether a word has letters of two scripts, a symbol inside, or mostly accents on Latin letters."""
    if not word.rstrip("\xa1\xab\xb7\xbb\xbf").isalpha():
        return True
    scripts = {unicodedata.name(letter, "?").split()[0] for letter in word} - {"MODIFIER", "FEMININE", "MASCULINE"}
    others = sum(not letter.isascii() for letter in word)
    return len(scripts) > 1 or (scripts == {"LATIN"} and others >= 3 and others * 2 > len(word))
