"""Located terms are those of the analyzers, at the positions that they name."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from classifier.model import linear, term_positions, term_vectors

TEXTS = st.text(max_size=50) | st.text(alphabet="aB1 .,'\n\tİẞΣ日", max_size=50)
DISTORT = partial(linear.distort, frequent=frozenset({"a", "the"}))
PAIRS = {
    "words": (
        term_vectors.words(r"(?u)\b\w\w+\b", lowercase=True),
        term_positions.words(r"(?u)\b\w\w+\b", lowercase=True),
    ),
    "words and marks": (
        term_vectors.words(r"\w+|[^\w\s]", lowercase=False),
        term_positions.words(r"\w+|[^\w\s]", lowercase=False),
    ),
    "characters": (term_vectors.characters(2, 4), term_positions.characters(2, 4)),
    "distorted": (term_vectors.characters(3, 5, DISTORT), term_positions.characters(3, 5, DISTORT)),
}


@given(text=TEXTS)
def test_the_terms_are_those_of_the_analyzer(text):
    for name, (analyze, locate) in PAIRS.items():
        assert sorted(term for term, _ in locate(text).occurrences()) == sorted(analyze(text)), name


@given(text=TEXTS)
def test_a_sequence_of_characters_is_where_its_position_says(text):
    located = PAIRS["characters"][1](text)
    for term, ((start, end),) in located.occurrences():
        origin = text[located.origin[start] : located.origin[end - 1] + 1]
        assert "".join(origin.split()) == "".join(term.split())


@given(text=TEXTS)
def test_a_word_is_where_its_position_says(text):
    located = PAIRS["words and marks"][1](text)
    for term, parts in located.occurrences():
        assert " ".join(text[start:end] for start, end in parts) == term


def test_positions_are_those_of_the_text_before_letters_became_two():
    text = "İİ bank"
    located = PAIRS["words"][1](text)
    ((start, end),) = next(parts for term, parts in located.occurrences() if term == "bank")
    assert text[located.origin[start] : located.origin[end - 1] + 1] == "bank"
