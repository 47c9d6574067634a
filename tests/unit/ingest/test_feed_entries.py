"""No entry of a feed is lost: ids tell entries apart, the newest revision counts, and dates and links are read."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.ingest.columns import Columns
from classifier.ingest.feeds import FeedOptions, FeedReader
from classifier.ingest.http_documents import Document
from classifier.ingest.source_declarations import EntryMapping
from classifier.ingest.validation import validate_chunk
from tests.support.paths import CASES

COLUMNS = Columns(**EntryMapping().model_dump())
URL = "http://news.example/feeds/all.xml"


def rss(*items, link="http://news.example/"):
    body = "".join(f"<item>{item}</item>" for item in items)
    return f"<rss version='2.0'><channel><title>t</title><link>{link}</link>{body}</channel></rss>".encode()


def atom(*entries):
    body = "".join(f"<entry>{entry}</entry>" for entry in entries)
    return f"<feed xmlns='http://www.w3.org/2005/Atom'><title>t</title><id>urn:x</id>{body}</feed>".encode()


def poll(articles, body, shared=frozenset(), *, columns=COLUMNS, strip_tracking=True):
    """Add a document's rows to the articles, as the database does: the last row of an id wins."""
    options = FeedOptions(columns, strip_tracking, shared)
    reader = FeedReader(Document(URL, body, "application/xml", None, None), options)
    for raw in reader.read():
        chunk = validate_chunk(raw, default_source="s")
        assert chunk.rejected == ()
        articles.update({row["external_id"]: row for row in chunk.rows.to_dict("records")})
    return reader.shared_guids


def read(body, **options):
    articles = {}
    poll(articles, body, **options)
    return articles


def texts(articles):
    return {identity: row["text"] for identity, row in articles.items()}


class TestIds:
    def test_a_guid_that_all_entries_share_is_not_an_id(self, caplog):
        articles = read((CASES / "same-guid.xml").read_bytes())
        assert texts(articles) == {
            "http://news.example/1": "The old bridge closes for two weeks.",
            "http://news.example/2": "The library stays open late from Monday on.",
        }
        assert "several entries share the guid 'g', so it is not an id" in caplog.text

    def test_a_guid_that_some_entries_share_is_not_an_id(self):
        item = "<guid>{0}</guid><link>/{1}</link><title>{1}</title>"
        articles = read(rss(*(item.format(guid, n) for n, guid in enumerate("abbcc"))))
        assert list(articles) == ["a", *(f"http://news.example/{n}" for n in (1, 2, 3, 4))]

    def test_a_guid_that_was_shared_once_is_not_an_id_at_later_polls(self):
        item = "<guid>g</guid><link>/{0}</link><title>{0}</title>"
        articles = {}
        shared = poll(articles, rss(item.format(1), item.format(2)))
        shared = poll(articles, rss(item.format(2)), shared)
        poll(articles, rss(item.format(3)), shared)
        assert list(articles) == [f"http://news.example/{n}" for n in (1, 2, 3)]

    @pytest.mark.parametrize("guid", ["", "<guid>g</guid>"])
    @pytest.mark.parametrize("link", ["http://news.example/", "http://news.example/news"])
    def test_a_link_that_all_entries_share_is_not_an_id(self, guid, link):
        item = f"{guid}<link>{link}</link><title>%s</title>"
        assert list(read(rss(item % "One", item % "Two"))) == [f"{link} One", f"{link} Two"]

    def test_entries_that_share_guid_and_title_and_have_no_link_are_one(self):
        assert list(read(rss("<guid>g</guid><title>T</title>", "<guid>g</guid><title>t</title>"))) == ["g"]

    @pytest.mark.parametrize("tag", ["guid", "link"])
    def test_a_long_guid_or_link_is_hashed_and_stays_the_same(self, tag):
        first = f"http://news.example/{'x' * 600}"
        items = [f"<{tag}>{first}{end}</{tag}><title>t{end}</title>" for end in "ab"]
        ids = list(read(rss(*items)))
        assert len(set(ids)) == 2
        assert all(len(identity) <= 400 and identity.startswith("http://news.example/xxx") for identity in ids)
        assert list(read(rss(*items))) == ids

    def test_a_long_link_is_hashed_if_links_are_the_ids(self):
        columns = Columns(id="link", text="body")
        (identity,) = read(rss(f"<guid>1</guid><link>/{'x' * 600}</link><title>t</title>"), columns=columns)
        assert len(identity) <= 400


class TestRevisions:
    def test_the_newest_revision_of_an_atom_entry_wins(self):
        articles = read((CASES / "revisions.atom").read_bytes())
        assert texts(articles) == {"urn:1": "The storm has passed and trains run again."}
        assert (articles["urn:1"]["title"], articles["urn:1"]["url"]) == (
            "Storm, updated", "http://news.example/storm",
        )  # fmt: skip

    def test_an_atom_entry_whose_link_changed_is_still_one(self):
        entry = "<id>urn:{0}</id><updated>2024-01-0{1}T00:00:00Z</updated><link href='/{1}'/><title>{1}</title>"
        articles = read(atom(entry.format(1, 1), entry.format(1, 2), entry.format(2, 1)))
        assert {identity: row["title"] for identity, row in articles.items()} == {"urn:1": "2", "urn:2": "1"}

    def test_an_atom_id_that_all_entries_share_is_not_an_id(self):
        entry = "<id>urn:1</id><updated>2024-01-0{0}T00:00:00Z</updated><link href='/{0}'/><title>{0}</title>"
        assert len(read(atom(*map(entry.format, (1, 2, 3))))) == 3

    def test_of_revisions_without_a_date_the_first_wins(self):
        items = [f"<guid>a</guid><link>/a</link><title>T</title><description>{n}</description>" for n in (1, 2)]
        assert texts(read(rss(*items, "<guid>b</guid><link>/b</link><title>b</title>")))["a"] == "1"

    @settings(max_examples=50, deadline=None)
    @given(data=st.data())
    def test_any_polls_in_any_order_end_in_the_same_articles(self, data):
        """Each poll shows any entries, each in any of its revisions up to the newest one of that time."""
        kind = data.draw(st.sampled_from(["atom", "rss", "rss with one guid", "rss without guids"]))
        newest = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
        articles, shared, shown = {}, frozenset(), {}
        for last in range(1, 5):
            present = [
                (entry, data.draw(st.integers(1, min(last, top))))
                for entry, top in enumerate(newest)
                for _ in range(data.draw(st.integers(0 if kind == "atom" else 1, 2)))
            ]
            present += [(entry, min(last, top)) for entry, top in enumerate(newest)]
            shown |= {entry: min(last, top) for entry, top in enumerate(newest)}
            for _ in range(data.draw(st.integers(1, 2))):
                order = data.draw(st.permutations(present))
                shared = poll(articles, make_document(kind, order), shared)
        assert sorted(texts(articles).values()) == sorted(f"entry {entry}, revision {n}" for entry, n in shown.items())
        again = dict(articles)
        poll(articles, make_document(kind, list(shown.items())), shared)
        assert texts(articles) == texts(again)


def make_document(kind, revisions):
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    parts = []
    for entry, revision in revisions:
        updated, text = (moment + timedelta(days=revision)).isoformat(), f"entry {entry}, revision {revision}"
        title, link = f"<title>Title {entry}</title>", f"http://news.example/{entry}"
        if kind == "atom":
            parts.append(
                f"<id>urn:{entry}</id>{title}<updated>{updated}</updated><link href='{link}'/><content>{text}</content>"
            )
        else:
            guid = {"rss": f"<guid>{entry}</guid>", "rss with one guid": "<guid>g</guid>"}.get(kind, "")
            date = f"<pubDate>{updated}</pubDate>"
            parts.append(f"{guid}{title}{date}<link>{link}?utm_id={revision}</link><description>{text}</description>")
    return atom(*parts) if kind == "atom" else rss(*parts)


class TestDates:
    def test_they_are_read_in_the_forms_and_languages_of_feeds(self):
        articles = read((CASES / "dates.xml").read_bytes())
        assert [articles[f"d{n}"]["published_at"] for n in range(1, 7)] == [
            datetime(2018, 6, 25, 9, 41, 36, tzinfo=UTC),
            datetime(2019, 11, 15, 10, tzinfo=UTC),
            datetime(2019, 11, 15, 10, tzinfo=UTC),
            datetime(2019, 11, 15, 9, tzinfo=UTC),
            None,
            None,
        ]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("lun, 25 juin 2018 11:41:36 +0200", datetime(2018, 6, 25, 9, 41, 36, tzinfo=UTC)),
            ("Пн, 25 Июн 2018 11:41:36 +0300", datetime(2018, 6, 25, 8, 41, 36, tzinfo=UTC)),
            ("2018年6月25日 11:41", datetime(2018, 6, 25, 11, 41, tzinfo=UTC)),
            ("03.04.2018 10:00", datetime(2018, 4, 3, 10, tzinfo=UTC)),
            ("Thu Jan  4 10:00:00 2018", datetime(2018, 1, 4, 10, tzinfo=UTC)),
            ("Wed, 27 Jun 2018 11:41:36 PST", datetime(2018, 6, 27, 19, 41, 36, tzinfo=UTC)),
            ("Wed, 27 Jun 2018 11:41:36 BST", datetime(2018, 6, 27, 10, 41, 36, tzinfo=UTC)),
            ("1573812000000", datetime(2019, 11, 15, 10, tzinfo=UTC)),
            ("June 25, 2018 11:41 am", datetime(2018, 6, 25, 11, 41, tzinfo=UTC)),
        ],
    )
    def test_each_form_gives_its_time(self, value, expected):
        assert read(rss(f"<guid>1</guid><title>t</title><pubDate>{value}</pubDate>"))["1"]["published_at"] == expected

    @pytest.mark.parametrize(
        "value",
        ["03/04/2018", "25/06/2018 10:00", "yesterday", "June 2018", "Mon, 30 Nov -0001 00:00:00 +0000", "9" * 40,
         "0000-00-00", "2019/13/45", "x" * 500],
    )  # fmt: skip
    def test_what_is_no_date_or_has_two_meanings_is_left_out(self, value):
        assert read(rss(f"<guid>1</guid><title>t</title><pubDate>{value}</pubDate>"))["1"]["published_at"] is None

    def test_after_many_unreadable_dates_the_slow_parser_is_not_asked(self, monkeypatch):
        from classifier.ingest import feed_dates

        asked = []
        monkeypatch.setattr(feed_dates, "MAX_ATTEMPTS", 3)
        parse = feed_dates._parser().get_date_data
        monkeypatch.setattr(feed_dates._parser(), "get_date_data", lambda value: asked.append(value) or parse(value))
        read(rss(*(f"<guid>{n}</guid><title>t</title><pubDate>no date {n}</pubDate>" for n in range(9))))
        assert len(asked) == 3


class TestLinks:
    ENTRY = "<guid>1</guid><title>t</title><link>{}</link>"

    @pytest.mark.parametrize(
        ("link", "expected"),
        [
            ("/a", "http://news.example/a"),
            ("b.html?x=1", "http://news.example/feeds/b.html?x=1"),
            ("//other.example/a", "http://other.example/a"),
            ("https://other.example/a", "https://other.example/a"),
            ("https://[x", None),
            ("", None),
        ],
    )
    def test_relative_links_are_resolved_against_the_feeds_address(self, link, expected):
        assert read(rss(self.ENTRY.format(link)))["1"]["url"] == expected

    @pytest.mark.parametrize(
        ("guid", "expected"), [("a1", None), ("tag:x,1", None), ("https://x.example/1", "https://x.example/1")]
    )
    def test_a_guid_is_a_link_only_if_it_is_an_address(self, guid, expected):
        assert read(rss(f"<guid>{guid}</guid><title>t</title>"))[guid]["url"] == expected

    def test_xml_base_is_honoured(self):
        body = atom("<id>urn:1</id><title>t</title><link href='storm'/>")
        based = body.replace(b"<feed ", b"<feed xml:base='/blog/' ")
        assert read(based)["urn:1"]["url"] == "http://news.example/blog/storm"

    @pytest.mark.parametrize(
        ("link", "expected"),
        [
            ("/a?utm_source=x&id=1&fbclid=y", "/a?id=1"),
            ("/a?UTM_Source=x", "/a"),
            ("/a?b=%20&gclid=1&c", "/a?b=%20&c"),
            ("/a#xtor=RSS-1", "/a"),
            ("/a?utm_source=x#part", "/a#part"),
            ("/a?id=utm_source", "/a?id=utm_source"),
        ],
    )
    def test_tracking_parameters_are_removed(self, link, expected):
        entry = self.ENTRY.format(html.escape(link))
        assert read(rss(entry))["1"]["url"] == f"http://news.example{expected}"

    def test_links_whose_tracking_parameters_change_at_each_poll_are_one_article(self):
        articles = {}
        for n in range(3):
            poll(articles, rss(f"<title>t</title><link>/a?utm_id={n}&amp;fbclid={n}&amp;id=1</link>"))
        assert list(articles) == ["http://news.example/a?id=1"]

    def test_so_are_guids_that_are_links(self):
        articles = {}
        for n in range(3):
            address = f"http://news.example/a?utm_id={n}"
            poll(articles, rss(f"<title>t</title><guid>{address}</guid><link>{address}</link>"))
        assert list(articles) == ["http://news.example/a"]

    def test_tracking_parameters_can_be_kept(self):
        articles = read(rss(self.ENTRY.format("/a?utm_id=1")), strip_tracking=False)
        assert articles["1"]["url"] == "http://news.example/a?utm_id=1"

    def test_an_address_that_is_too_long_is_left_out(self):
        assert read(rss(self.ENTRY.format(f"/{'x' * 5000}")))["1"]["url"] is None


class TestFields:
    def test_title_body_and_link_are_the_columns_of_a_feed(self):
        item = "<guid>1</guid><title>A &lt;b&gt;title&lt;/b&gt;</title><description>Text</description><link>/1</link>"
        (row,) = read(rss(item)).values()
        assert (row["title"], row["text"], row["url"]) == ("A title", "Text", "http://news.example/1")

    def test_the_title_is_the_text_of_an_entry_that_has_only_a_title(self):
        (row,) = read(rss("<guid>1</guid><title>Only a title</title>")).values()
        assert (row["title"], row["text"]) == ("Only a title", "Only a title")

    def test_a_long_title_with_line_breaks_is_cut(self):
        (row,) = read(rss(f"<guid>1</guid><title>a\nb\u2028{'x' * 3000}</title><description>d</description>")).values()
        assert row["title"].startswith("a b xxx")
        assert len(row["title"]) == 2000

    def test_all_categories_of_an_entry_can_be_read(self):
        item = "<guid>1</guid><title>t</title><category>a</category><category> b </category><category>a</category>"
        columns = Columns("categories", "category", id="id")
        (row,) = read(rss(item), columns=columns).values()
        assert (row["text"], row["category"]) == ("a; b", "a")

    def test_no_category_becomes_an_annotation_unless_a_mapping_asks_for_it(self):
        (row,) = read(rss("<guid>1</guid><title>t</title><category>a</category>")).values()
        assert row["category"] is None
