"""What a page shows of an explanation: the text in marked pieces, and a list of words with their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classifier.inference.explanation import Word
from classifier.pipeline.labelling.explanation import WordTotal, total_words

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
class ExplainedArticle:
    """The explanation of one category of an article.

    Attributes:
        label: The label; of a multi-label model, all labels as one text.
        others: Further categories that can be explained.
        speak_for: The words that add most; `speak_against` those that subtract most.
        nearest: The most similar annotated articles, of `compared` ones; `compared` is None if they were not found in
            time.
    """

    model: str
    engine: str
    label: str
    category: str
    probability: float
    others: tuple[str, ...]
    title: tuple[Segment, ...]
    text: tuple[Segment, ...]
    speak_for: tuple[WordTotal, ...]
    speak_against: tuple[WordTotal, ...]
    has_linear: bool
    words: int
    words_read: int
    is_coarse: bool
    nearest: tuple[Mapping[str, Any], ...]
    compared: int | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> ExplainedArticle:
        """Return what is shown of an answer of `classifier.pipeline.review.article_explanation`."""
        text, explained, result = answer["text"], answer["categories"][0], answer["result"]
        words = [Word(**word) for word in explained["words"]]
        totals = total_words(text, words)
        offset = answer["offset"]
        title_end = max(0, offset - 2)  # a blank line follows the title
        nearest = answer["nearest"]
        labels = result["labels"] if result["labels"] is not None else [result["label"]]
        candidates = dict.fromkeys([*labels, *list(result["candidates"])[:CATEGORIES]])
        return cls(
            answer["model"],
            answer["engine"],
            result["label"],
            explained["category"],
            explained["probability"],
            tuple([name for name in candidates if name != explained["category"]][: CATEGORIES - 1]),
            _mark(text, words, 0, title_end),
            _mark(text, words, offset, len(text)),
            tuple(total for total in totals if total.contribution > 0)[:WORDS],
            tuple(total for total in reversed(totals) if total.contribution < 0)[:WORDS],
            explained["has_linear"],
            answer["words"],
            answer["words_read"],
            any(word.is_shared for word in words),
            tuple(nearest["articles"]) if nearest else (),
            nearest["compared"] if nearest else None,
        )


def _mark(text: str, words: Sequence[Word], start: int, end: int) -> tuple[Segment, ...]:
    """Return the text between two positions in segments, with the words that matter marked."""
    largest = max((abs(word.contribution) for word in words), default=0.0)
    segments: list[Segment] = []
    at = start
    for word in words:
        share = abs(word.contribution) / largest
        if word.start < at or word.end > end or share < LEAST_MARKED:
            continue
        if word.start > at:
            segments.append(Segment(text[at : word.start]))
        strength = min(STRENGTHS, 1 + int(STRENGTHS * share))
        sign = "for" if word.contribution > 0 else "against"
        segments.append(Segment(text[word.start : word.end], f"{sign} strength-{strength}"))
        at = word.end
    if at < end:
        segments.append(Segment(text[at:end]))
    return tuple(segments)
