"""Read the entries of an RSS or Atom feed as rows.

feedparser also reads XML that is not well-formed. A malformed but complete feed is accepted, because many real feeds
are malformed. A feed that is cut off is refused, because the text of its last entry would be incomplete.
"""

from __future__ import annotations

import io
from calendar import timegm
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import feedparser

from classifier.articles import RejectedRow
from classifier.exceptions import SourceError
from classifier.ingest import feed_limits, html_text, timestamps
from classifier.ingest.columns import Columns, RawChunk, Row, chunk_records
from classifier.ingest.http_documents import Document
from classifier.ingest.rejected_rows import reject_row
from classifier.ingest.validation import MAX_LENGTHS
from classifier.names import shorten_name

_ENDS = (b"</rss>", b"</feed>", b"</rdf:rdf>", b"</rdf>")


def read_feed(document: Document, columns: Columns, *, chunk_rows: int = 5000) -> Iterator[RawChunk]:
    """Yield the document's entries in chunks of at most `chunk_rows`.

    Raises:
        SourceError: the document is not a feed, is cut off, or would be too expensive to parse.
    """
    if excess := feed_limits.find_excess(document.body, document.content_type):
        raise SourceError(f"{document.url}: the feed is refused ({excess})")
    feed = feedparser.parse(
        io.BytesIO(document.body),  # a stream, because feedparser treats a string as a URL or a file name
        response_headers={"content-type": document.content_type},
        resolve_relative_uris=False,  # ids must not change when the feed moves
        sanitize_html=False,  # only the text is used
    )
    problem = feed.get("bozo_exception") if feed.get("bozo") else None
    if not feed.get("version"):
        raise SourceError(
            f"{document.url}: not a feed{_because(problem)}; check that the URL is that of the feed itself"
        )
    if problem is not None and not document.body.rstrip().lower().endswith(_ENDS):
        raise SourceError(f"{document.url}: the feed is cut off{_because(problem)}")
    yield from chunk_records(_rows(document, feed.entries, columns), chunk_rows)


def _because(problem: Exception | None) -> str:
    return f" ({' '.join(str(problem).replace('<unknown>:', 'line ').split())})" if problem else ""


def _rows(document: Document, entries: list[Any], columns: Columns) -> Iterator[Row | RejectedRow]:
    for number, entry in enumerate(entries, 1):
        identity = entry.get("id") or entry.get("link")
        if not identity:
            reason = "the entry has neither an id (guid) nor a link"
            yield reject_row(document.url, f"entry {number}", reason, str(entry.get("title", "")))
            continue
        fields = _fields(
            entry, identity if len(identity) <= MAX_LENGTHS["id"] else shorten_name(identity, MAX_LENGTHS["id"])
        )
        values = [fields[name] if name is not None else None for name in columns.names]
        key = fields[columns.id] if columns.id is not None else None
        # the id, not the number, which changes with each poll: so the same bad entry is stored once
        yield *values, f"id {key or fields['id']}"[:500]


def _fields(entry: Any, identity: str) -> dict[str, str]:
    title = _plain(entry.get("title_detail"))
    summary = _plain(entry.get("summary_detail"))
    body = "\n\n".join(filter(None, map(_plain, entry.get("content", [])))) or summary
    return {
        "id": identity,
        "title": title,
        "summary": summary,
        "body": body,
        "text": "\n\n".join(filter(None, (title, body))),
        "category": next((tag.get("term") or "" for tag in entry.get("tags", [])), ""),
        "author": entry.get("author", ""),
        "link": entry.get("link", ""),
        "published_at": _moment(entry, "published") or _moment(entry, "updated"),
        "updated_at": _moment(entry, "updated"),
    }


def _plain(detail: Any) -> str:
    """Return a part of an entry as text; HTML becomes the text that a reader would see."""
    value: str = (detail or {}).get("value") or ""
    if (detail or {}).get("type", "text/plain") == "text/plain":
        return value.strip()
    return html_text.plain_text(value)


def _moment(entry: Any, name: str) -> str:
    """Return a time as the feed writes it, or as feedparser parsed it if it has an unusual format."""
    # not entry.get: it returns the publication time for a missing update time, with a warning
    value: str = dict.get(entry, name) or ""
    parsed = dict.get(entry, f"{name}_parsed")
    if timestamps.parse_timestamp(value.strip()) is None and parsed is not None:
        return datetime.fromtimestamp(timegm(parsed), UTC).isoformat()
    return value
