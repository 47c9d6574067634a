"""Numbers have the right form of their noun."""

from __future__ import annotations

import pytest

from classifier.plurals import plural


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 articles"), (1, "1 article"), (2, "2 articles"), (12_345, "12,345 articles")]
)
def test_a_noun_has_the_form_for_its_number(count, words):
    assert plural(count, "article") == words


def test_an_irregular_plural_is_given():
    assert (plural(1, "category", "categories"), plural(3, "category", "categories")) == ("1 category", "3 categories")
