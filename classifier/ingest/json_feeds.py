"""Read JSON Feed (https://www.jsonfeed.org/version/1.1/)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from classifier.exceptions import SourceError
from classifier.ingest import feed_limits, html_text
from classifier.ingest.feed_dates import FeedDates
from classifier.ingest.feed_entries import Addresses, Entry, distinct, one_line

VERSION = "https://jsonfeed.org/version/1"


def is_json(body: bytes) -> bool:
    """Return whether a document begins like a JSON object."""
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def parse_document(url: str, body: bytes) -> dict[str, Any]:
    """Return the feed as JSON.

    Raises:
        SourceError: it is not a JSON Feed, is cut off, or would be too expensive to read.
    """
    try:
        feed: dict[str, Any] = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        if VERSION.removeprefix("https://").encode() in body.replace(b"\\/", b"/"):
            raise SourceError(f"{url}: the feed is cut off or is not valid JSON ({_first_line(error)})") from error
        raise SourceError(f"{url}: not a feed; check that the URL is that of the feed itself") from error
    version = str(feed.get("version")).replace("://www.", "://").replace("http://", "https://")
    if not version.startswith(VERSION) or not isinstance(feed.get("items"), list):
        raise SourceError(f"{url}: not a feed; check that the URL is that of the feed itself")
    if excess := _find_excess(feed["items"]):
        raise SourceError(f"{url}: the feed is refused ({excess})")
    return feed


def entries(feed: dict[str, Any], addresses: Addresses, dates: FeedDates) -> Iterator[Entry]:
    """Yield the items of a feed; what is not an object is an entry without anything."""
    for item in feed["items"]:
        yield _entry(item if isinstance(item, dict) else {}, addresses, dates)


def _entry(item: dict[str, Any], addresses: Addresses, dates: FeedDates) -> Entry:
    summary = _text(item, "summary")
    html = _text(item, "content_html")
    guid = _text(item, "id")
    link = _text(item, "url")
    return Entry(
        guid=addresses.strip(guid) if guid == link else guid,
        link=addresses.resolve(link or _text(item, "external_url")),
        title=one_line(_text(item, "title")),
        summary=summary,
        body=html_text.plain_text(html) or _text(item, "content_text") or summary,
        categories=distinct(tag for tag in _list(item, "tags") if isinstance(tag, str)),
        author=_author(item),
        dates=dates.read_entry(_text(item, "date_published"), _text(item, "date_modified")),
    )


def _author(item: dict[str, Any]) -> str:
    authors = [item.get("author"), *_list(item, "authors")]
    return next((name for author in authors if isinstance(author, dict) and (name := _text(author, "name"))), "")


def _text(item: dict[str, Any], key: str) -> str:
    """Return a value as a string without lone surrogates; ids may be numbers."""
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).replace("\0", "").encode("utf-8", "replace").decode().strip()


def _list(item: dict[str, Any], key: str) -> list[Any]:
    value = item.get(key)
    return value if isinstance(value, list) else []


def _find_excess(items: list[Any]) -> str | None:
    contents = (item.get("content_html") for item in items if isinstance(item, dict))
    count = sum(html.count("<") + html.count("&") for html in contents if isinstance(html, str))
    if count > feed_limits.MAX_MARKUP:
        return f"it has {count:,} tags and references; at most {feed_limits.MAX_MARKUP:,} are read"
    return None


def _first_line(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
