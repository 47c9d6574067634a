"""JSON Feed is read as other feeds are."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.exceptions import SourceError
from classifier.ingest import feed_limits
from classifier.ingest.columns import Columns
from classifier.ingest.feeds import read_feed
from classifier.ingest.http_documents import Document
from classifier.ingest.source_declarations import EntryMapping
from classifier.ingest.validation import validate_chunk

COLUMNS = Columns(**EntryMapping().model_dump())
ITEM = {"id": "1", "url": "/1?utm_source=x", "title": "One", "content_html": "<p>The <b>text</b></p>"}


def document(body, content_type="application/feed+json"):
    return Document("http://news.example/feed.json", body, content_type, None, None)


def feed(*items, version="https://jsonfeed.org/version/1.1", **more):
    return json.dumps({"version": version, "title": "t", "items": items, **more}).encode()


def read(body, columns=COLUMNS):
    chunks = [validate_chunk(raw, default_source="s") for raw in read_feed(document(body), columns)]
    rows = [row for chunk in chunks for row in chunk.rows.to_dict("records")]
    return rows, [row for chunk in chunks for row in chunk.rejected]


@pytest.mark.parametrize("version", ["https://jsonfeed.org/version/1", "https://www.jsonfeed.org/version/1.1"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b" \n"])
def test_an_item_becomes_an_article(version, start):
    item = {**ITEM, "date_published": "2024-03-01T10:00:00+02:00"}
    (row,), bad = read(start + feed(item, version=version))
    assert bad == []
    assert (row["external_id"], row["title"], row["text"], row["url"], row["published_at"]) == (
        "1", "One", "The text", "http://news.example/1", datetime(2024, 3, 1, 8, tzinfo=UTC),
    )  # fmt: skip


def test_the_fields_are_those_of_other_feeds():
    item = {**ITEM, "tags": ["a", "b", 3], "authors": [{"name": "Ann"}], "summary": "short", "date_modified": "2024"}
    fields = ("categories", "author", "summary", "category")
    rows = [read(feed(item), Columns(text=field, id="id"))[0][0]["text"] for field in fields]
    assert rows == ["a; b", "Ann", "short", "a"]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"content_text": "plain <b>"}, "plain <b>"),
        ({"summary": "short"}, "short"),
        ({"title": "Title"}, "Title"),
        ({"content_html": "<p></p>", "content_text": "plain"}, "plain"),
    ],
)
def test_the_body_is_the_content_else_the_summary_else_the_title(item, text):
    assert read(feed({"id": 7, **item}))[0][0]["text"] == text


def test_the_newest_of_several_items_with_one_id_wins():
    items = [
        {**ITEM, "content_html": "new", "date_modified": "2024-03-02T00:00:00Z"},
        {**ITEM, "content_html": "old", "date_modified": "2024-03-01T00:00:00Z"},
        {**ITEM, "id": "2", "url": "/2", "title": "Two"},
    ]
    rows, _ = read(feed(*items))
    assert {row["external_id"]: row["text"] for row in rows} == {"1": "new", "2": "The text"}


def test_an_item_without_id_and_url_is_rejected():
    rows, bad = read(feed(ITEM, {"title": "nameless"}, "no object"))
    assert len(rows) == 1
    assert [row.position for row in bad] == ["entry 2", "entry 3"]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'{"a": 1}', "not a feed"),
        (feed(version="https://example.org"), "not a feed"),
        (b'{"version": "https://jsonfeed.org/version/1", "items": 3}', "not a feed"),
        (b"{" * 100_000, "not a feed"),
        (feed(ITEM)[:-20], "the feed is cut off or is not valid JSON"),
        (feed(ITEM)[:-2] + b"\xff]}", "the feed is cut off or is not valid JSON"),
    ],
)
def test_another_document_is_refused_in_a_line(body, line):
    with pytest.raises(SourceError, match=f"http://news.example/feed.json: {line}") as raised:
        read(body)
    assert "\n" not in str(raised.value)


def test_markup_that_takes_hours_is_refused(monkeypatch):
    monkeypatch.setattr(feed_limits, "MAX_MARKUP", 10)
    with pytest.raises(SourceError, match=r"the feed is refused \(it has 12 tags and references; at most 10 are read"):
        read(feed({**ITEM, "content_html": "<p>" * 12}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from([*ITEM, "summary", "tags", "authors", "date_published"]), JSON)))
def test_whatever_the_values_are_items_are_read_or_rejected(items):
    rows, bad = read(feed(*items))
    assert len(rows) + len(bad) == len(items)
