"""The entries of RSS and Atom feeds, as feedparser reads them, and their fields."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from classifier.ingest import html_text, web_addresses
from classifier.ingest.feed_dates import EntryDates, FeedDates
from classifier.ingest.validation import MAX_LENGTHS

CATEGORY_FIELDS = frozenset({"category", "categories"})
"""The fields of an entry that hold its categories."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a feed. Each value is "" if the entry has none; dates are in ISO 8601.

    `guid` is the id that the feed gives the entry. `body` is its content, else its summary.
    """

    guid: str
    link: str
    title: str
    summary: str
    body: str
    categories: tuple[str, ...] = ()
    author: str = ""
    dates: EntryDates = EntryDates()  # noqa: RUF009 - frozen

    def fields(self, identity: str) -> dict[str, str]:
        """Return the fields that columns may be mapped to."""
        title = _fitting(self.title, MAX_LENGTHS["title"])
        return {
            "id": identity,
            "title": title,
            "summary": self.summary,
            "body": self.body or self.title,
            "text": "\n\n".join(filter(None, (title, self.body))),
            "category": next(iter(self.categories), ""),
            "categories": "; ".join(self.categories),
            "author": self.author,
            "link": self.link if len(self.link) <= MAX_LENGTHS["url"] else "",
            # validation counts a date that cannot be read, and leaves it out
            "published_at": self.dates.published or self.dates.updated or self.dates.unreadable,
            "updated_at": self.dates.updated,
        }


@dataclass(frozen=True, slots=True)
class Addresses:
    """Makes the addresses of a feed absolute, and removes their tracking parameters if that is wanted."""

    feed: str
    strip_tracking: bool = True

    def resolve(self, address: str) -> str:
        """Return an address as an article stores it; "" if it is none."""
        address = "".join(character for character in address.strip() if not _is_control(character))
        if not address:
            return ""
        try:
            address = urljoin(self.feed, address)
        except ValueError:  # such as https://[
            return ""
        return self.strip(address)

    def strip(self, address: str) -> str:
        """Return an address without its tracking parameters, if that is wanted."""
        return web_addresses.strip_tracking(address) if self.strip_tracking else address


def from_feedparser(entry: Any, addresses: Addresses, dates: FeedDates) -> Entry:
    """Return an entry of feedparser; the links are made absolute, and HTML becomes the text that a reader would see."""
    guid, link = (entry.get("id") or "").strip(), (entry.get("link") or "").strip()
    is_link = bool(entry.get("guidislink")) and guid == link  # an RSS guid may be the link
    if is_link and not (web_addresses.is_web_address(link) or link.startswith("/")):
        link = ""  # feedparser takes any guid for a link unless the feed denies it
    summary = _plain(entry.get("summary_detail"))
    return Entry(
        guid=addresses.strip(guid) if is_link else guid,
        link=addresses.resolve(link),
        title=one_line(_plain(entry.get("title_detail"))),
        summary=summary,
        body="\n\n".join(filter(None, map(_plain, entry.get("content", [])))) or summary,
        categories=distinct(tag.get("term") or "" for tag in entry.get("tags", [])),
        author=entry.get("author", ""),
        # not entry.get: it returns the publication time for a missing update time, with a warning
        dates=dates.read_entry(dict.get(entry, "published") or "", dict.get(entry, "updated") or ""),
    )


def one_line(title: str) -> str:
    """Return a title without line breaks and control characters."""
    return " ".join("".join(" " if _is_control(character) else character for character in title).split())


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that are not empty, each once, in their order."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, names))))


def _plain(detail: Any) -> str:
    """Return a part of an entry as text; HTML becomes the text that a reader would see."""
    value: str = (detail or {}).get("value") or ""
    if (detail or {}).get("type", "text/plain") == "text/plain":
        return value.strip()
    return html_text.plain_text(value)


def _fitting(value: str, limit: int) -> str:
    return value if len(value) <= limit else f"{value[: limit - 1]}…"


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
