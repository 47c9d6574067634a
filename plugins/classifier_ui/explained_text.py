"""What a page shows of an explanation: the text in marked pieces, and a list of words with their figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WORDS = 8
"""Words for a category, and words against it, that are listed."""

CATEGORIES = 6
"""Categories that can be explained by a click."""

STRENGTHS = 4
"""Strengths of a mark; style sheets have a class for each."""

LEAST_MARKED = 0.15
"""Share of the largest figure from which a word is marked."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the text; `mark` is the class of its mark, or empty."""

    text: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class ListedWord:
    """A word in lower case with the number of its occurrences and the sums of their figures."""

    word: str
    count: int
    contribution: float
    network: float
    linear: float


@dataclass(frozen=True, slots=True)
class ExplainedArticle:
    """The explanation of one category of an article.

    Attributes:
        label: The label; of a multi-label model, all labels as one text.
        others: Further categories that can be explained.
        speak_for: The words that add most; `speak_against` those that take most.
        nearest: The most similar annotated articles, of `compared` ones.
    """

    model: str
    engine: str
    label: str
    category: str
    probability: float
    others: tuple[str, ...]
    title: tuple[Segment, ...]
    text: tuple[Segment, ...]
    speak_for: tuple[ListedWord, ...]
    speak_against: tuple[ListedWord, ...]
    has_linear: bool
    words: int
    words_read: int
    is_coarse: bool
    nearest: tuple[Mapping[str, Any], ...]
    compared: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> ExplainedArticle:
        """Return what is shown of an answer of `classifier.pipeline.review.article_explanation`."""
        text, explained, result = answer["text"], answer["categories"][0], answer["result"]
        listed = _list_words(text, explained["words"])
        offset = answer["offset"]
        title_end = max(0, offset - 2)  # a blank line follows the title
        labels = result["labels"] if result["labels"] is not None else [result["label"]]
        candidates = dict.fromkeys([*labels, *list(result["candidates"])[:CATEGORIES]])
        return cls(
            answer["model"],
            answer["engine"],
            result["label"],
            explained["category"],
            explained["probability"],
            tuple([name for name in candidates if name != explained["category"]][: CATEGORIES - 1]),
            _mark(text, explained["words"], 0, title_end),
            _mark(text, explained["words"], offset, len(text)),
            tuple(word for word in listed if word.contribution > 0)[:WORDS],
            tuple(word for word in reversed(listed) if word.contribution < 0)[:WORDS],
            explained["has_linear"],
            answer["words"],
            answer["words_read"],
            any(word["is_shared"] for word in explained["words"]),
            tuple(answer["nearest"]["articles"]),
            answer["nearest"]["compared"],
        )


def _list_words(text: str, words: Sequence[Mapping[str, Any]]) -> list[ListedWord]:
    """Return each different word, those that add most first."""
    groups: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for word in words:
        groups[text[word["start"] : word["end"]].casefold()].append(word)
    listed = [
        ListedWord(
            name,
            len(group),
            sum(word["contribution"] for word in group),
            sum(word["network"] for word in group),
            sum(word["linear"] for word in group),
        )
        for name, group in groups.items()
    ]
    return sorted(listed, key=lambda word: -word.contribution)


def _mark(text: str, words: Sequence[Mapping[str, Any]], start: int, end: int) -> tuple[Segment, ...]:
    """Return the text between two positions in segments, with the words that matter marked."""
    largest = max((abs(word["contribution"]) for word in words), default=0.0)
    segments: list[Segment] = []
    at = start
    for word in words:
        share = abs(word["contribution"]) / largest
        if word["start"] < at or word["end"] > end or share < LEAST_MARKED:
            continue
        if word["start"] > at:
            segments.append(Segment(text[at : word["start"]]))
        strength = min(STRENGTHS, 1 + int(STRENGTHS * share))
        sign = "for" if word["contribution"] > 0 else "against"
        segments.append(Segment(text[word["start"] : word["end"]], f"{sign} strength-{strength}"))
        at = word["end"]
    if at < end:
        segments.append(Segment(text[at:end]))
    return tuple(segments)
