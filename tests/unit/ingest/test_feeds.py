"""Feeds: they are fetched from a local server and read as rows."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.exceptions import SourceError, SourceUnavailableError
from classifier.ingest import feeds, http_documents
from classifier.ingest.columns import Columns
from classifier.ingest.validation import validate_chunk
from tests.support.loopback import cached, page, serving
from tests.support.waiting import HANG_S

COLUMNS = Columns(id="id", published_at="published_at")
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def rss(*items):
    body = "".join(f"<item>{item}</item>" for item in items)
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>{body}</channel></rss>'.encode()


ITEM = "<guid>a1</guid><title>Title</title><description>Body</description>"

ATOM = b"""<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>t</title>
<entry><id>tag:x,1</id><title>One</title><updated>2024-03-01T10:00:00+02:00</updated>
<summary>short</summary><content type="html">&lt;p&gt;the whole&lt;/p&gt;</content></entry></feed>"""


def document(body, content_type="application/rss+xml"):
    return http_documents.Document("http://example.org/feed", body, content_type, None, None)


def valid(body, columns=COLUMNS, zone=UTC, **options):
    """Return the valid rows, and the rejected ones."""
    chunks = [
        validate_chunk(raw, default_source="bbc", zone=zone, now=NOW)
        for raw in feeds.read_feed(document(body), columns, **options)
    ]
    return (
        [row for chunk in chunks for row in chunk.rows.to_dict("records")],
        [row for chunk in chunks for row in chunk.rejected],
    )


class TestFetching:
    def test_a_second_poll_with_the_etag_fetches_nothing(self):
        with serving(cached(rss(ITEM), ETag='"v1"')) as site:
            first = http_documents.fetch(site.url, allow_private=True)
            assert http_documents.fetch(site.url, etag=first.etag, allow_private=True) is None
        assert site.asked[1]["If-None-Match"] == '"v1"'

    def test_a_second_poll_with_the_time_fetches_nothing(self):
        with serving(cached(rss(ITEM), Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")) as site:
            first = http_documents.fetch(site.url, allow_private=True)
            assert http_documents.fetch(site.url, last_modified=first.last_modified, allow_private=True) is None

    def test_the_request_names_its_user_agent(self):
        with serving(page(rss(ITEM))) as site:
            http_documents.fetch(site.url, allow_private=True)
        assert site.asked[0]["User-Agent"].startswith("article-classifier")

    def test_a_compressed_response_is_decompressed(self):
        with serving(page(gzip.compress(rss(ITEM)), Content_Encoding="gzip")) as site:
            assert http_documents.fetch(site.url, allow_private=True).body == rss(ITEM)

    @pytest.mark.parametrize(
        ("code", "error", "line"),
        [
            (404, SourceError, "the server answers 404 Not Found; check the URL"),
            (403, SourceError, "the server answers 403 Forbidden"),
            (410, SourceError, "the server answers 410 Gone; remove the source"),
            (429, SourceError, "the server answers 429 Too Many Requests; poll it less often"),
            (500, SourceUnavailableError, "the server answers 500 Internal Server Error"),
            (503, SourceUnavailableError, "the server answers 503 Service Unavailable"),
            (204, SourceError, "the server answers 204 No Content"),
        ],
    )
    def test_another_status_is_one_line(self, code, error, line):
        with serving(page(b"", code=code)) as site, pytest.raises(error) as raised:
            http_documents.fetch(site.url, allow_private=True)
        assert f"{site.url}: {line}" in str(raised.value)
        assert isinstance(raised.value, SourceUnavailableError) == (error is SourceUnavailableError)

    def test_a_missing_server_is_unavailable(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(SourceUnavailableError, match="no response"):
                http_documents.fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/", allow_private=True)

    def test_a_silent_server_times_out(self):
        done = threading.Event()
        with serving(lambda _: done.wait(HANG_S)) as site:  # so the result is the timeout
            with pytest.raises(SourceUnavailableError, match="no response in time"):
                http_documents.fetch(site.url, timeout_s=0.2, allow_private=True)
            done.set()

    def test_an_endless_response_times_out(self):
        def drip(handler):
            handler.send_response(200)
            handler.end_headers()
            try:
                for _ in range(500):
                    handler.wfile.write(b" ")
                    handler.wfile.flush()
                    time.sleep(0.02)
            except OSError:
                pass

        with serving(drip) as site, pytest.raises(SourceUnavailableError, match="no response in time"):
            http_documents.fetch(site.url, timeout_s=0.1, allow_private=True)

    def test_a_response_that_is_cut_off_is_refused(self):
        def cut(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b"<rss")

        with serving(cut) as site, pytest.raises(SourceUnavailableError, match="no response"):
            http_documents.fetch(site.url, allow_private=True)

    def test_a_response_that_is_too_large_is_refused(self, monkeypatch):
        monkeypatch.setattr(http_documents, "MAX_BYTES", 2**20)
        bomb = gzip.compress(b" " * 2**22)
        with serving(page(bomb, Content_Encoding="gzip")) as site, pytest.raises(SourceError, match="more than 1 MiB"):
            http_documents.fetch(site.url, allow_private=True)

    def test_damaged_compression_is_refused(self):
        with serving(page(b"junk", Content_Encoding="gzip")) as site, pytest.raises(SourceError, match="be fetched"):
            http_documents.fetch(site.url, allow_private=True)

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/x"])
    def test_a_redirection_leads_to_the_web_only(self, target):
        with serving(page(b"", code=302, Location=target)) as site, pytest.raises(SourceError, match="be fetched"):
            http_documents.fetch(site.url, allow_private=True)

    def test_a_redirection_loop_is_refused(self):
        with serving(page(b"", code=302, Location="/feed")) as site, pytest.raises(SourceError, match="be fetched"):
            http_documents.fetch(site.url, allow_private=True)


class TestEntries:
    def test_title_and_body_make_the_text(self):
        rows, bad = valid(rss(ITEM))
        assert [(row["source"], row["external_id"], row["text"]) for row in rows] == [("bbc", "a1", "Title\n\nBody")]
        assert bad == []

    @pytest.mark.parametrize("levels", [300, 5000])
    def test_deeply_nested_html_is_read_with_its_title(self, levels):
        html = f"{'<div>' * levels}deep words{'</div>' * levels}"
        for body in (
            f"<description><![CDATA[{html}]]></description>",
            f"<content:encoded><![CDATA[{html}]]></content:encoded>",
        ):
            rows, _ = valid(rss(f"<guid>1</guid><title>Title</title>{body}"))
            assert rows[0]["text"] == "Title\n\ndeep words"

    def test_html_becomes_text(self):
        html = "<![CDATA[<p>One <b>bo</b>ld &amp; more</p><script>evil()</script><ul><li>a<li>b</ul>]]>"
        rows, _ = valid(rss(f"<guid>1</guid><description>{html}</description>"))
        assert rows[0]["text"] == "One bold & more\n\n  * a\n  * b"

    def test_plain_text_is_unchanged(self):
        rows, _ = valid(rss("<guid>1</guid><title>5 is more than 4</title>"))
        assert rows[0]["text"] == "5 is more than 4"

    def test_the_content_of_an_atom_entry_is_preferred_to_its_summary(self):
        rows, _ = valid(ATOM)
        assert rows[0]["text"] == "One\n\nthe whole"

    def test_the_offset_of_a_time_is_kept(self):
        rows, _ = valid(ATOM)
        assert rows[0]["published_at"] == datetime(2024, 3, 1, 8, tzinfo=UTC)

    @pytest.mark.parametrize(
        "date",
        [
            "Fri, 01 Mar 2024 10:00:00 +0200",
            "Fri, 1 Mar 24 08:00:00 GMT",
            "2024-03-01T08:00:00Z",
            "2024-03-01T10:00:00",
        ],
    )
    def test_dates_in_the_formats_of_feeds_are_read(self, date):
        rows, _ = valid(rss(f"{ITEM}<pubDate>{date}</pubDate>"), zone=ZoneInfo("Europe/Athens"))
        assert rows[0]["published_at"] == datetime(2024, 3, 1, 8, tzinfo=UTC)

    def test_the_link_is_the_id_of_an_entry_without_a_guid(self):
        rows, _ = valid(rss("<link>https://example.org/1</link><title>T</title>"))
        assert rows[0]["external_id"] == "https://example.org/1"

    def test_an_entry_without_guid_and_link_is_rejected(self):
        rows, bad = valid(rss(ITEM, "<title>nameless</title>"))
        assert len(rows) == 1
        assert [(row.position, row.reason) for row in bad] == [
            ("entry 2", "the entry has neither an id (guid) nor a link")
        ]

    @pytest.mark.parametrize("date", ["Fri, 01 Mar 2099 10:00:00 GMT", "some day"])
    def test_an_impossible_date_is_left_out_and_counted(self, date):
        body = rss(f"<guid>b</guid><title>x</title><pubDate>{date}</pubDate>", ITEM)
        (raw,) = feeds.read_feed(document(body), COLUMNS)
        checked = validate_chunk(raw, default_source="bbc", now=NOW)
        assert (checked.rows["published_at"].tolist(), checked.rejected) == ([None, None], ())
        assert checked.bad_dates == (date,)

    def test_a_bad_entry_is_rejected_under_its_id(self):
        columns = Columns(id="id", category="category")
        rows, bad = valid(rss(f"<guid>b</guid><title>x</title><category>{'x' * 201}</category>", ITEM), columns)
        assert len(rows) == 1
        assert (bad[0].position, bad[0].reason) == ("id b", "category is longer than 200 characters")

    def test_an_entry_without_text_is_rejected(self):
        assert valid(rss("<guid>b</guid>"))[1][0].reason == "text is empty"

    def test_columns_may_have_another_mapping(self):
        rows, _ = valid(ATOM, Columns(text="summary", id="link", published_at="updated_at"))
        assert rows == [] or rows[0]["text"] == "short"

    def test_a_feed_without_entries_is_no_error(self):
        assert valid(rss()) == ([], [])

    def test_rows_come_in_chunks(self):
        items = [f"<guid>{n}</guid><title>t</title>" for n in range(10)]
        assert [len(raw.frame) for raw in feeds.read_feed(document(rss(*items)), COLUMNS, chunk_rows=4)] == [4, 4, 2]


class TestDocuments:
    @pytest.mark.parametrize(
        "body", [b"", b"not xml", b"<html><body>hello</body></html>", b'{"a": 1}', b"\x00\xff" * 50]
    )
    def test_a_document_that_is_not_a_feed_is_refused(self, body):
        with pytest.raises(SourceError, match=r"http://example\.org/feed: not a feed") as raised:
            valid(body)
        assert "\n" not in str(raised.value)

    def test_a_feed_that_is_cut_off_is_refused(self):
        with pytest.raises(SourceError, match="the feed is cut off"):
            valid(rss(ITEM)[:-30])

    def test_a_malformed_but_complete_feed_is_read(self):
        rows, _ = valid(rss("<guid>1</guid><title>a&nbsp;b</title>", ITEM))
        assert [row["external_id"] for row in rows] == ["1", "a1"]

    def test_entities_are_not_expanded_recursively(self):
        bomb = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">' + b"".join(
            b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
        )
        rows, _ = valid(bomb + b"]>" + rss("<guid>1</guid><title>&j;</title>")[21:])
        assert all(len(row["text"]) < 10_000 for row in rows)

    def test_no_local_file_is_read(self, tmp_path):
        (tmp_path / "secret").write_text("geheim")
        bad = f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>'.encode()
        rows, _ = valid(bad + rss("<guid>1</guid><title>a &x; b</title>")[21:])
        assert "geheim" not in str(rows)

    @settings(max_examples=100, deadline=None)
    @given(
        data=st.binary(max_size=300),
        start=st.sampled_from([b"", b"<rss version='2.0'><channel><item>", rss(ITEM)[:-20]]),
    )
    def test_noise_raises_nothing_but_a_source_error(self, data, start):
        try:
            valid(start + data)
        except SourceError as error:
            assert "\n" not in str(error)  # noqa: PT017
