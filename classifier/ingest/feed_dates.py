"""Read the dates of feeds in the forms and languages that feeds use.

A date is never guessed. feedparser reads 2019/11/15 as the first of November, so its own dates are not used. 03/04/2024
means different days in different countries, so it counts as unreadable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from classifier.ingest import timestamps
from classifier.ingest.validation import MAX_CLOCK_SKEW

if TYPE_CHECKING:
    from dateparser.date import DateDataParser

LANGUAGES: Final = (
    "en", "de", "fr", "es", "pt", "it", "nl", "ca", "pl", "cs", "sk", "hu", "ro", "bg", "sr", "hr", "sl", "ru", "uk",
    "el", "tr", "sv", "da", "nb", "fi", "et", "lv", "lt", "ar", "fa", "he", "hi", "id", "vi", "th", "ja", "ko", "zh",
)  # fmt: skip
"""Languages whose names of months and weekdays are read. All two hundred would take eight seconds to load."""

MAX_ATTEMPTS: Final = 100
"""Unreadable dates of a feed after which the slow parser is no longer asked; each may take it a tenth of a second."""

_MAX_LENGTH = 80
_EARLIEST_YEAR = 1900
_ZONE_OFFSETS = timedelta(hours=14)
_EPOCH = re.compile(r"\d{9,10}(?:\d{3})?$")
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})(?=\D|$)")
_AMBIGUOUS = re.compile(r"(?:^|[^\d:])\d{1,2}[/-]\d{1,2}[/-]\d{2,4}(?:\D|$)")


@dataclass(frozen=True, slots=True)
class EntryDates:
    """When an entry was published and updated, in ISO 8601 or "".

    If neither date can be read, `unreadable` is one of them as the feed writes it.
    """

    published: str = ""
    updated: str = ""
    unreadable: str = ""


class FeedDates:
    """Reads the dates of one feed."""

    def __init__(self, now: datetime | None = None) -> None:
        self._latest = (now or datetime.now(UTC)) + MAX_CLOCK_SKEW
        self._attempts = 0

    def read_entry(self, published: str, updated: str) -> EntryDates:
        """Return the dates of an entry, given as the feed writes them."""
        dates = self.read(published), self.read(updated)
        return EntryDates(*dates, unreadable="" if any(dates) else " ".join((published or updated).split()))

    def read(self, value: str) -> str:
        """Return a date in ISO 8601, without an offset if it names no time zone; "" if it cannot be read."""
        value = " ".join(value.split())
        moment = self._parse(value) if value else None
        return moment.isoformat() if moment is not None and self._is_plausible(moment) else ""

    def _is_plausible(self, moment: datetime) -> bool:
        latest = self._latest if moment.tzinfo else (self._latest - _ZONE_OFFSETS).replace(tzinfo=None)
        return moment.year >= _EARLIEST_YEAR and moment <= latest

    def _parse(self, value: str) -> datetime | None:
        if _EPOCH.match(value):
            seconds = int(value) / (1000 if len(value) > 10 else 1)
            return datetime.fromtimestamp(seconds, UTC)
        value = _YEAR_FIRST.sub(_with_dashes, value, count=1)
        if (moment := timestamps.parse(value)) is not None:
            return moment
        if len(value) > _MAX_LENGTH or _AMBIGUOUS.search(value) or self._attempts >= MAX_ATTEMPTS:
            return None
        parsed: datetime | None = _parser().get_date_data(value).date_obj
        self._attempts += parsed is None
        return parsed


def _with_dashes(match: re.Match[str]) -> str:
    year, month, day = match.groups()
    return f"{year}-{int(month):02}-{int(day):02}"


@cache
def _parser() -> DateDataParser:
    # imported when a feed needs it: it loads for a second
    from dateparser.date import DateDataParser

    return DateDataParser(
        languages=list(LANGUAGES),
        settings={
            "PARSERS": ["absolute-time"],
            "REQUIRE_PARTS": ["day", "month", "year"],
            "STRICT_PARSING": True,
            "DATE_ORDER": "DMY",
            "PREFER_LOCALE_DATE_ORDER": False,
        },
    )
