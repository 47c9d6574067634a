"""What a model reads of an article."""

from __future__ import annotations

import pytest

from classifier.articles import AnnotatedArticle, Texts, model_input
from classifier.training.spooled_articles import spool


@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [
        ("A title", "Some text", "A title\n\nSome text"),
        (None, "Some text", "Some text"),
        ("", "Some text", "Some text"),
        ("A title", "A title\n\nSome text", "A title\n\nSome text"),
        ("A title", "A title", "A title"),
        ("A title", "a title", "A title\n\na title"),
        ("A title", "  Some text ", "A title\n\n  Some text "),
    ],
)
def test_the_title_comes_before_the_text_unless_the_text_begins_with_it(title, text, expected):
    assert model_input(text, title, read_title=True) == expected
    assert model_input(text, title, read_title=False) == text


@pytest.mark.parametrize("spooled", [False, True])
def test_texts_have_the_titles_only_if_the_model_reads_them(tmp_path, spooled):
    articles = [
        AnnotatedArticle(1, "één", b"1", ("a",), "Tïtle"),
        AnnotatedArticle(2, "two", b"2", ("b",)),
        AnnotatedArticle(3, "", b"3", ("b",), "three"),
    ]
    parts = spool(articles, tmp_path) if spooled else articles
    assert list(parts) == articles
    assert list(Texts(parts, parts[:1], read_title=True)) == ["Tïtle\n\néén", "two", "three\n\n", "Tïtle\n\néén"]
    assert list(Texts(parts, read_title=False)) == ["één", "two", ""]
