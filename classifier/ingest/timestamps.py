"""Read the moment at which an article was published."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime

# the parser of e-mail dates makes something of nearly anything, so it is only shown what looks like one
_EMAIL_DATE = re.compile(r"(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}")


def parse_timestamp(value: str, zone: tzinfo = UTC) -> datetime | None:
    """Return the moment in UTC, None where the value is none.

    ISO 8601 is read, and RFC 5322, which RSS feeds use. A moment without an offset is one of `zone`.
    Dates such as 03/04/2024 are not read: they mean different days in different countries.
    """
    try:
        moment = parsedate_to_datetime(value) if _EMAIL_DATE.match(value) else datetime.fromisoformat(value)
        return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: an offset that leads out of the years 1 to 9999
        return None
