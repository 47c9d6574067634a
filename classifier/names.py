"""Names from sources and users: normalized categories, look-alikes, and names shortened for an index."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256

MAX_CATEGORY_LENGTH = 200
"""Characters."""

_INVISIBLE = (
    "\u00ad\u061c\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062"
    "\u2063\u2064\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\u2800\u3164\ufeff\uffa0"
)
"""Invisible characters. Inside a name, some have a meaning, such as the joiners of Persian and of emoji."""

_CONTROL = {"Cc", "Cs", "Zl", "Zp"}
_DELETED = dict.fromkeys(map(ord, f"{_INVISIBLE}\u034f\ufe0e\ufe0f"))
_SPACES = "".join(filter(str.isspace, map(chr, range(0x3001))))
_ENDS = _INVISIBLE + _SPACES


def normalize_category(name: str) -> str:
    """Return a category's name in NFC, without white space and invisible characters at its ends."""
    return unicodedata.normalize("NFC", name.strip(_ENDS)).strip(_ENDS)


def control_character(name: str) -> str | None:
    """Return the first control character or line separator of a name, as "U+000A", or None if it has none."""
    character = next((character for character in name if unicodedata.category(character) in _CONTROL), None)
    return None if character is None else f"U+{ord(character):04X}"


def look_alikes(names: Iterable[str], existing: Iterable[str] = ()) -> list[tuple[str, ...]]:
    """Return groups of names that differ only in case, white space or invisible characters.

    Each group has at least one of `names`, which are also compared with `existing` names.
    """
    new = set(names)
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for name in new.union(existing):
        groups[_appearance(name)].add(name)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1 and group & new)


def _appearance(name: str) -> str:
    visible = unicodedata.normalize("NFC", name.translate(_DELETED))
    return unicodedata.normalize("NFC", " ".join(visible.split()).casefold())


def shorten_name(name: str, max_bytes: int) -> str:
    """Return the name if its UTF-8 has at most `max_bytes` bytes, else its beginning, a hash and its end.

    Different names stay different, and a name is always shortened in the same way. `max_bytes` must be at least 100.
    """
    encoded = name.encode("utf-8", "surrogatepass")
    if len(encoded) <= max_bytes:
        return name
    digest = sha256(encoded).hexdigest()[:16]
    tail = encoded[-40:].decode("utf-8", "ignore")
    head = encoded[: max_bytes - 62].decode("utf-8", "ignore")
    return f"{head}…{digest}…{tail}"
