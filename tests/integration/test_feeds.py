"""Declared feeds, from a server to the articles."""

from __future__ import annotations

from datetime import datetime

import pytest

from classifier.ingest import source_declarations
from classifier.pipeline.ingest import declared_sources
from tests.support.loopback import page, serving
from tests.support.paths import CASES
from tests.support.synthetic import query


@pytest.fixture
def poll(workspace, tmp_path):
    """Ingest a document as the declared feed's; return the report."""

    def poll(site, body, *, more="", **headers):
        site.answer = page(body, **headers)
        path = tmp_path / "sources.toml"
        path.write_text(f"[sources.town]\nkind = 'feed'\nurl = '{site.url}'\nallow_private = true\n{more}")
        (source,) = source_declarations.load_sources(path).values()
        return declared_sources.ingest_source(workspace, source, lambda _: "")

    return poll


@pytest.fixture
def site():
    with serving(page(b"")) as site:
        yield site


def articles(workspace, columns="external_id, title, text, url"):
    return query(workspace.database, f"SELECT {columns} FROM articles ORDER BY external_id")


def test_entries_that_share_a_guid_are_articles_of_their_own_at_every_poll(workspace, poll, site):
    body = (CASES / "same-guid.xml").read_bytes()
    assert poll(site, body).new == 2
    first, second = body.split(b"<item>")[1:]
    head = body.split(b"<item>")[0]
    assert poll(site, head + b"<item>" + second).unchanged == 1
    alone = head + b"<item>" + first + b"</channel></rss>"
    assert poll(site, alone).unchanged == 1
    assert articles(workspace) == [
        ("http://news.example/1", "Bridge works", "The old bridge closes for two weeks.", "http://news.example/1"),
        ("http://news.example/2", "New opening hours", "The library stays open late from Monday on.",
         "http://news.example/2"),
    ]  # fmt: skip


def test_the_newest_revision_of_an_entry_is_the_article(workspace, poll, site):
    body = (CASES / "revisions.atom").read_bytes()
    report = poll(site, body, Content_Type="application/atom+xml")
    assert (report.read, report.new, report.duplicates) == (2, 1, 1)
    address = site.url.replace("/feed", "/storm")
    assert articles(workspace) == [
        ("urn:1", "Storm, updated", "The storm has passed and trains run again.", address),
    ]  # fmt: skip


def test_dates_in_the_forms_of_feeds_are_stored(workspace, poll, site):
    assert poll(site, (CASES / "dates.xml").read_bytes()).new == 6
    assert articles(workspace, "external_id, published_at AT TIME ZONE 'UTC'") == [
        ("d1", datetime(2018, 6, 25, 9, 41, 36)),  # noqa: DTZ001 - of Postgres, in UTC
        ("d2", datetime(2019, 11, 15, 10)),  # noqa: DTZ001
        ("d3", datetime(2019, 11, 15, 10)),  # noqa: DTZ001
        ("d4", datetime(2019, 11, 15, 9)),  # noqa: DTZ001
        ("d5", None),
        ("d6", None),
    ]


@pytest.mark.parametrize(
    ("declared", "served", "actual"), [("windows-1251", "iso-8859-1", "cp1251"), ("utf-8", "windows-1251", "utf-8")]
)
def test_a_wrong_charset_of_the_server_garbles_nothing(workspace, poll, site, declared, served, actual):
    item = "<item><guid>1</guid><title>Новости</title><description>Библиотека открыта до вечера</description></item>"
    body = f"<?xml version='1.0' encoding='{declared}'?><rss version='2.0'><channel><title>т</title>{item}"
    poll(site, f"{body}</channel></rss>".encode(actual), Content_Type=f"text/xml; charset={served}")
    assert articles(workspace, "title, text") == [("Новости", "Библиотека открыта до вечера")]


@pytest.mark.parametrize("tag", ["guid", "link"])
def test_a_guid_or_link_of_600_characters_is_one_article(workspace, poll, site, tag):
    item = f"<item><{tag}>http://news.example/{'x' * 600}</{tag}><title>t</title><description>%s</description></item>"
    for text in ("one", "two"):
        body = f"<rss version='2.0'><channel><title>t</title>{item % text}</channel></rss>"
        poll(site, body.encode())
    assert articles(workspace, "length(external_id) < 400, text") == [(True, "two")]


@pytest.mark.parametrize(("more", "count"), [("", 1), ("strip_tracking = false\n", 3)])
def test_links_whose_tracking_parameters_change_are_one_article_unless_they_are_kept(
    workspace, poll, site, more, count
):
    for n in range(3):
        item = f"<item><title>t</title><link>http://news.example/a?utm_source={n}&amp;fbclid={n}</link></item>"
        poll(site, f"<rss version='2.0'><channel><title>t</title>{item}</channel></rss>".encode(), more=more)
    assert len(articles(workspace)) == count


def test_a_json_feed_is_ingested(workspace, poll, site):
    body = (
        b'{"version": "https://jsonfeed.org/version/1.1", "items": [{"id": "1", "content_text": "Words", "url": "/a"}]}'
    )
    assert poll(site, body, Content_Type="application/feed+json").new == 1
    assert articles(workspace) == [("1", None, "Words", site.url.replace("/feed", "/a"))]
