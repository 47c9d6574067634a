"""Parse publication times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime

from classifier.exceptions import SettingsError

# the parser of e-mail dates accepts nearly anything, so it only gets values that look like e-mail dates
_EMAIL_DATE = re.compile(r"(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}(?::\d{2})?(?: ([A-Za-z]+)$)?")

_OFFSETS = {
    "WET": "+0000", "WEST": "+0100", "BST": "+0100", "CET": "+0100", "MEZ": "+0100", "MET": "+0100", "CEST": "+0200",
    "MESZ": "+0200", "MEST": "+0200", "EET": "+0200", "SAST": "+0200", "EEST": "+0300", "MSK": "+0300",
    "HKT": "+0800", "SGT": "+0800", "AWST": "+0800", "JST": "+0900", "KST": "+0900", "AEST": "+1000",
    "AEDT": "+1100", "NZST": "+1200", "NZDT": "+1300",
}  # fmt: skip
"""Abbreviated time zones with one meaning, besides those of RFC 5322. Python takes an unknown one for no time zone."""

_STANDARD = {"UT", "UTC", "GMT", "Z", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"}


def parse_timestamp(value: str, zone: tzinfo = UTC) -> datetime | None:
    """Return the time in UTC, or None if the value is not a time.

    ISO 8601 and RFC 5322 (which RSS feeds use) are supported. A time without an offset is in `zone`. Dates such as
    03/04/2024 are not supported, because they mean different days in different countries.
    """
    moment = parse(value)
    try:
        return moment and (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError):  # an offset that leads beyond the years 1 to 9999
        return None


def parse(value: str) -> datetime | None:
    """Return the time as written, with its offset if it has one; None if it is not a time."""
    try:
        if not (match := _EMAIL_DATE.match(value)):
            return datetime.fromisoformat(value)
        if name := match[1]:
            if name.upper() in _OFFSETS:
                value = value[: match.start(1)] + _OFFSETS[name.upper()]
            elif name.upper() not in _STANDARD:
                return None
        return parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class DateRules:
    """How publication times are read.

    `format` is their form in the codes of `strptime`, such as "%d/%m/%Y"; None for those of `parse_timestamp`. If a
    time cannot be read or is in the future, the row is rejected if `strict`; otherwise its time is left out.
    """

    format: str | None = None
    strict: bool = False

    def parse(self, value: str, zone: tzinfo) -> datetime | None:
        """Return the time in UTC, or None if the value is not a time of the expected form."""
        if self.format is None:
            return parse_timestamp(value, zone)
        try:
            moment = datetime.strptime(value, self.format)  # noqa: DTZ007 - the zone follows
            return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)
        except (ValueError, OverflowError):
            return None


def parse_date_format(value: str) -> str:
    """Return a date format.

    Raises:
        SettingsError: it is no format of `strptime`, or it lacks the year.
    """
    example = datetime(2019, 11, 25, tzinfo=UTC)
    try:
        is_date = datetime.strptime(example.strftime(value), value).date() == example.date()  # noqa: DTZ007
    except (ValueError, UnicodeError):
        is_date = False
    if not is_date:
        raise SettingsError(f"date format {value!r}: must give a day, a month and a year, such as %d/%m/%Y %H:%M")
    return value
