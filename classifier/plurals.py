"""Numbers with their nouns, for messages."""

from __future__ import annotations


def plural(count: int, noun: str, plural_noun: str | None = None) -> str:
    """Return a number with its noun: "1 article", "2,000 articles"; without `plural_noun`, the plural ends in s."""
    return f"{count:,} {noun if count == 1 else plural_noun or f'{noun}s'}"


def verb(count: int, singular: str, plural_verb: str) -> str:
    """Return the form of a verb for a number."""
    return singular if count == 1 else plural_verb
