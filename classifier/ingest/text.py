"""What makes two texts the same: their bytes, or their words."""

from __future__ import annotations

from hashlib import sha256


def fold(text: str) -> str:
    """Return the text without differences of case and of white space."""
    return " ".join(text.casefold().split())


def fingerprint(text: str) -> bytes:
    """Return the SHA-256 of the folded text: equal for texts that differ in case and white space only."""
    return sha256(fold(text).encode()).digest()


def text_hash(text: str) -> bytes:
    """Return the SHA-256 of the text's UTF-8."""
    return sha256(text.encode()).digest()
