"""Refuse a feed that would take hours or gigabytes to parse.

feedparser's second parser, for documents that are not well-formed, expands the document's own entities without a limit:
100 kilobytes may become a gigabyte. Its time grows with the number of tags, and with the square of a tag's attributes.
"""

from __future__ import annotations

import re
from collections import Counter

from feedparser.encodings import convert_to_utf8

MAX_EXPANDED = 20 * 2**20
"""Bytes that the document's own entities may add."""

MAX_MARKUP = 500_000
"""Tags and references, including the HTML inside entries. A feed of a thousand long articles has a fifth of this."""

MAX_ATTRIBUTES = 300
"""Attributes of one tag."""

_FIRST_TAG = re.compile(rb"<\w")
_ENTITY = re.compile(rb"<!ENTITY\s+(\w+)\s+[\"']([^\"']*)")
_REFERENCE = re.compile(rb"&(\w+);")
_MANY_ATTRIBUTES = re.compile(rb"<\w(?:[^<>=]*=){%d}" % (MAX_ATTRIBUTES + 1))


def find_excess(body: bytes, content_type: str) -> str | None:
    """Return the limit that a document exceeds, as a message, or None."""
    try:
        data: bytes = convert_to_utf8({"content-type": content_type}, body, {})
    except UnicodeError:  # feedparser does not expect the errors of codecs such as idna
        return "its encoding cannot be read"
    if (count := data.count(b"<") + data.count(b"&")) > MAX_MARKUP:
        return f"it has {count:,} tags and references; at most {MAX_MARKUP:,} are read"
    if _MANY_ATTRIBUTES.search(data):
        return f"it has a tag of more than {MAX_ATTRIBUTES} attributes"
    if _expanded(data) > MAX_EXPANDED:
        return f"its entities add more than {MAX_EXPANDED // 2**20} MiB"
    return None


def _expanded(data: bytes) -> int:
    """Return the bytes that the entities of the document add; feedparser ignores entities that refer to others."""
    start = _FIRST_TAG.search(data)
    sizes: dict[bytes, int] = {}
    for name, value in _ENTITY.findall(data[: start.start()] if start else data):
        sizes[name] = max(len(value), sizes.get(name, 0))
    if not sizes:
        return 0
    return sum(sizes.get(name, 0) * count for name, count in Counter(_REFERENCE.findall(data)).items())
