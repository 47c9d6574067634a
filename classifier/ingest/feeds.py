"""Read the entries of an RSS, Atom or JSON feed as rows.

feedparser also reads XML that is not well-formed. A malformed but complete feed is accepted, because many real feeds
are malformed. A feed that is cut off is refused, because the text of its last entry would be incomplete.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import feedparser

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest import feed_encodings, feed_entries, feed_ids, feed_limits, json_feeds
from classifier.ingest.columns import Cell, Columns, RawChunk, Row, chunk_records
from classifier.ingest.feed_dates import FeedDates
from classifier.ingest.feed_entries import CATEGORY_FIELDS, Addresses, Entry
from classifier.ingest.feed_ids import FeedFacts, Identified
from classifier.ingest.http_documents import Document
from classifier.ingest.rejected_rows import reject_row

log = logging.getLogger(__name__)

_ENDS = (b"</rss>", b"</feed>", b"</rdf:rdf>", b"</rdf>")
_FEED_TAG = re.compile(rb"<(?:\w+:)?(?:rss|feed|rdf)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """How a feed is read. `shared_guids` are guids that several of its entries shared at earlier polls.

    The fields of `lists` get all categories of an entry; other fields get the first.
    """

    columns: Columns
    strip_tracking: bool = True
    shared_guids: frozenset[str] = frozenset()
    now: datetime | None = None
    lists: frozenset[str] = frozenset()


class FeedReader:
    """Reads a feed's document. `shared_guids` are the guids that several entries shared, at this or earlier polls."""

    def __init__(self, document: Document, options: FeedOptions) -> None:
        self._document, self._options = document, options
        self.shared_guids = options.shared_guids

    def read(self, *, chunk_rows: int = 5000) -> Iterator[RawChunk]:
        """Yield the document's entries in chunks of at most `chunk_rows`.

        Raises:
            SourceError: the document is not a feed, is cut off, or would be too expensive to parse.
        """
        dates = FeedDates(self._options.now)
        addresses = Addresses(self._document.url, self._options.strip_tracking)
        entries, facts = _parse(self._document, addresses, dates)
        identified = feed_ids.identify(entries, replace(facts, shared=self._options.shared_guids))
        self._warn(identified)
        remembered = sorted(self._options.shared_guids)[: feed_ids.MAX_SHARED]
        self.shared_guids = frozenset(remembered) | identified.shared
        yield from chunk_records(
            _rows(self._document.url, identified, self._options), chunk_rows, self._options.columns.fields
        )

    def _warn(self, identified: Identified) -> None:
        if identified.shared:
            log.warning(
                "%s: several entries share the guid %r, so it is not an id; their links or titles are the ids",
                self._document.url,
                min(identified.shared)[:80],
            )


def read_feed(document: Document, columns: Columns, *, chunk_rows: int = 5000) -> Iterator[RawChunk]:
    """Yield the document's entries in chunks of at most `chunk_rows`; see `FeedReader.read`."""
    return FeedReader(document, FeedOptions(columns)).read(chunk_rows=chunk_rows)


def _parse(document: Document, addresses: Addresses, dates: FeedDates) -> tuple[list[Entry], FeedFacts]:
    if json_feeds.is_json(document.body):
        items = json_feeds.parse_document(document.url, document.body)
        site = items.get("home_page_url")
        entries = list(json_feeds.entries(items, addresses, dates))
        return entries, FeedFacts(is_atom=False, site=addresses.resolve(site) if isinstance(site, str) else "")
    if not _FEED_TAG.search(document.body.replace(b"\0", b"")):
        raise SourceError(f"{document.url}: not a feed; check that the URL is that of the feed itself")
    body = feed_encodings.decode_feed(document.url, document.body, document.content_type).encode()
    feed = _parse_xml(document.url, body)
    entries = [feed_entries.from_feedparser(entry, addresses, dates) for entry in feed.entries]
    site = addresses.resolve(feed.feed.get("link") or "")
    return entries, FeedFacts(is_atom=feed.version.startswith("atom"), site=site)


def _parse_xml(url: str, body: bytes) -> feedparser.FeedParserDict:
    """Return the feed in a document of UTF-8."""
    content_type = "application/xml; charset=utf-8"
    if excess := feed_limits.find_excess(body, content_type):
        raise SourceError(f"{url}: the feed is refused ({excess})")
    feed = feedparser.parse(
        io.BytesIO(body),  # a stream, because feedparser treats a string as a URL or a file name
        response_headers={"content-type": content_type},
        resolve_relative_uris=False,  # ids must not change when the feed moves
        sanitize_html=False,  # only the text is used
    )
    problem = feed.get("bozo_exception") if feed.get("bozo") else None
    if not feed.get("version"):
        raise SourceError(f"{url}: not a feed{_because(problem)}; check that the URL is that of the feed itself")
    if problem is not None and not body.rstrip().lower().endswith(_ENDS):
        raise SourceError(f"{url}: the feed is cut off{_because(problem)}")
    return feed


def _because(problem: Exception | None) -> str:
    return f" ({' '.join(str(problem).replace('<unknown>:', 'line ').split())})" if problem else ""


def _rows(url: str, identified: Identified, options: FeedOptions) -> Iterator[Row | RejectedRow]:
    columns = options.columns
    for number, (identity, entry) in enumerate(identified.entries, 1):
        if not identity:
            reason = "the entry has neither an id (guid) nor a link"
            yield reject_row(url, f"entry {number}", reason, entry.title)
            continue
        fields = entry.fields(identity)
        if columns.id is not None:
            fields[columns.id] = feed_ids.shorten_id(fields[columns.id])
        key = fields[columns.id] if columns.id is not None else None
        # the id, not the number, which changes with each poll: so the same bad entry is stored once
        yield *_cells(entry, fields, options), f"id {key or identity}"[:500]


def _cells(entry: Entry, fields: Mapping[str, str], options: FeedOptions) -> Iterator[Cell]:
    """Yield an entry's values in the order of the columns' fields; an entry without categories has a missing value."""
    columns = options.columns
    for field, name in zip(columns.fields, columns.names, strict=True):
        if field in options.lists and name in CATEGORY_FIELDS:
            yield entry.categories or ""
        else:
            yield fields[name] if name is not None else None
