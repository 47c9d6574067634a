"""The words' contributions and the constant add up to the scores of a linear classifier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.model import linear, linear_contributions
from classifier.model.words import find_words

TEXTS = (
    "",
    "   ",
    "quux",
    "Goal! The team's goal, \n\n and the  match...",
    "İstanbul BANK of the Bank: no7 share profit; \u0130\u0130 bank",
    "goal " * 500,
    "日本の bank 株 e\u0301te\u0301 ﬁne ẞ",
)


def fit(kind, *, saved=False):
    topics = {"sport": "goal match team", "business": "bank share profit", "tech": "phone chip software"}
    truth = [list(topics)[number % 3] for number in range(30)]
    texts = [f"the {topics[name]} of no{number} {'bank goal'[: number % 5]}" for number, name in enumerate(truth)]
    fitted = linear.fit_linear([*texts, "İstanbul bank"], [*truth, "business"], kind)
    return linear.from_files(fitted.to_files(), fitted.categories, kind) if saved else fitted


FITTED = {(kind, saved): fit(kind, saved=saved) for kind in linear.KINDS for saved in (False, True)}


def total(classifier, text, weights):
    added = linear_contributions.contributions(classifier, text, find_words(text), weights)
    return added.words.sum(axis=0) + added.constants


@pytest.mark.parametrize(("kind", "saved"), FITTED)
@pytest.mark.parametrize("text", TEXTS)
def test_they_add_up_to_the_scores(kind, saved, text):
    classifier = FITTED[kind, saved]
    np.testing.assert_allclose(total(classifier, text, np.eye(3)), classifier.scores([text])[0], rtol=0, atol=1e-10)


@given(
    text=st.text(max_size=60)
    | st.lists(st.sampled_from(["goal", "match", "Team", "bank", "no7", ".", "'", "\n", "İ"])).map(" ".join)
)
@pytest.mark.parametrize("kind", linear.KINDS)
def test_they_add_up_whatever_the_text(kind, text):
    classifier, weights = FITTED[kind, True], np.array([[1.0, 0.5], [-1.0, 0.25], [0.0, -0.75]])
    np.testing.assert_allclose(
        total(classifier, text, weights), classifier.scores([text])[0] @ weights, rtol=0, atol=1e-10
    )


def test_sparse_coefficients_add_up_too():
    from dataclasses import replace

    from scipy.sparse import csr_array

    dense = FITTED["linear", True]
    sparse = replace(dense, coefficients=csr_array(dense.coefficients))
    np.testing.assert_allclose(total(sparse, TEXTS[3], np.eye(3)), dense.scores([TEXTS[3]])[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", linear.KINDS)
def test_a_categorys_own_words_add_most_and_words_that_are_unknown_add_nothing(kind):
    classifier, text = FITTED[kind, True], "zzz goal qqq phone xxx"
    sport = np.eye(3)[:, [classifier.categories.index("sport")]]
    added = linear_contributions.contributions(classifier, text, find_words(text), sport).words[:, 0]
    assert added.argmax() == 1
    assert added[3] < 0
    if kind == "linear":
        assert added[[0, 2, 4]].tolist() == [0, 0, 0]


@given(text=st.text(alphabet="aB1 .,'\u2019\n\u0301日本\u3000İ_ कि\u094dภี่か\u3099\u200d❤\ufe0f", max_size=40))
def test_each_character_except_white_space_is_in_exactly_one_word(text):
    spans = find_words(text)
    inside = [position for start, end in spans for position in range(start, end)]
    assert inside == [position for position, character in enumerate(text) if not character.isspace()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("ภาษาไทย น้ำ", ["ภาษาไทย", "น้ำ"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("क्\u200dष", ["क्\u200dष"]),
        ("e\u0301te\u0301, l'e\u0301te\u0301", ["e\u0301te\u0301", ",", "l'e\u0301te\u0301"]),
        ("か\u3099日本", ["か\u3099", "日", "本"]),
    ],
)
def test_a_mark_belongs_to_the_letter_before_it(text, expected):
    assert [text[start:end] for start, end in find_words(text)] == expected
