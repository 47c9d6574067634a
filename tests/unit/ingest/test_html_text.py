"""HTML of any depth becomes the text that a reader would see."""

from __future__ import annotations

import pytest

from classifier.ingest.html_text import plain_text


def nested(levels, tag="div"):
    return f"<p>Above</p>{f'<{tag}>' * levels}deep &amp; <b>bold</b> words{f'</{tag}>' * levels}<p>Below</p>"


@pytest.mark.parametrize("levels", [1, 300, 5000, 100_000])
def test_deeply_nested_text_is_read_with_the_text_around_it(levels):
    lines = [line.strip() for line in plain_text(nested(levels)).splitlines() if line.strip()]
    assert lines == ["Above", "deep & bold words", "Below"]


@pytest.mark.parametrize("tag", ["ul", "table", "tr", "blockquote", "span", "b", "a", "font"])
@pytest.mark.parametrize("levels", [120, 300, 5000])
def test_every_kind_of_element_may_be_nested(tag, levels):
    assert "deep & bold words" in " ".join(plain_text(nested(levels, tag)).split())


def test_all_unclosed_paragraphs_are_read():
    text = plain_text("".join(f"<div><p>part {number} " for number in range(2000)))
    assert [line.strip() for line in text.splitlines() if line.strip()] == [f"part {n}" for n in range(2000)]


def test_scripts_and_styles_are_not_text_at_any_depth():
    hidden = "<script>var secret</script><style>p {color: red}</style>"
    for levels in (1, 1000):
        text = plain_text(f"<html><head><title>t</title></head>{hidden}{nested(levels)}{hidden}</html>")
        assert "secret" not in text
        assert "color" not in text
        assert "deep" in text


@pytest.mark.parametrize("html", ["", "  ", "<!-- nothing -->", "<?xml version='1.0'?>", "<div></div>" * 999])
def test_html_without_text_gives_an_empty_string(html):
    assert plain_text(html) == ""


def test_html_of_ordinary_depth_keeps_its_lists_and_tables():
    text = plain_text("<ul><li>one</li><li>two</li></ul><table><tr><td>a</td><td>b</td></tr></table>")
    assert text == "* one\n  * two\na  b"
