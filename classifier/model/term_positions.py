"""Where the terms of a text are: the analyzers of `classifier.model.term_vectors`, with the characters of each term."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Occurrence = tuple[str, tuple[tuple[int, int], ...]]
"""A term, and its parts' first characters with the ones after their last, in the text that was analyzed."""

_SPACES = re.compile(r"\s\s+")


@dataclass(frozen=True, slots=True)
class LocatedTerms:
    """The terms of a text in the order of the analyzer.

    Attributes:
        occurrences: Yields each term with the positions of its parts in the analyzed text, which may be iterated again.
        origin: The position in the text of each character of the analyzed text.
    """

    occurrences: Callable[[], Iterator[Occurrence]]
    origin: NDArray[np.int64]


Locator = Callable[[str], LocatedTerms]


def words(pattern: str, *, lowercase: bool) -> Locator:
    """Return a function that locates the words of a text, which match the pattern, and the pairs of neighbours."""
    find_words = re.compile(pattern).finditer

    def locate(text: str) -> LocatedTerms:
        analyzed, origin = _lower(text) if lowercase else (text, np.arange(len(text)))

        def occurrences() -> Iterator[Occurrence]:
            singles = [(match[0], match.span()) for match in find_words(analyzed)]
            yield from ((word, (span,)) for word, span in singles)
            for (first, span), (second, next_span) in pairwise(singles):
                yield f"{first} {second}", (span, next_span)

        return LocatedTerms(occurrences, origin)

    return locate


def characters(shortest: int, longest: int, preprocess: Callable[[str], str] = str) -> Locator:
    """Return a function that locates a text's sequences of characters; white space counts as one character.

    `preprocess` must keep the number of characters.
    """

    def locate(text: str) -> LocatedTerms:
        processed = preprocess(text)
        analyzed, kept = _SPACES.sub(" ", processed), np.ones(len(processed), dtype=np.bool_)
        for match in _SPACES.finditer(processed):
            kept[match.start() + 1 : match.end()] = False

        def occurrences() -> Iterator[Occurrence]:
            for length in range(shortest, longest + 1):
                for start in range(len(analyzed) - length + 1):
                    yield analyzed[start : start + length], ((start, start + length),)

        return LocatedTerms(occurrences, np.flatnonzero(kept))

    return locate


def _lower(text: str) -> tuple[str, NDArray[np.int64]]:
    """Return the text in lower case, and the position in the text of each of its characters."""
    lowered, positions = text.lower(), np.arange(len(text))
    if len(lowered) == len(text):
        return lowered, positions
    return lowered, np.repeat(positions, [len(character.lower()) for character in text])
