"""Parse publication times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime

# the parser of e-mail dates accepts nearly anything, so it only gets values that look like e-mail dates
_EMAIL_DATE = re.compile(r"(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}")


def parse_timestamp(value: str, zone: tzinfo = UTC) -> datetime | None:
    """Return the time in UTC, or None if the value is not a time.

    ISO 8601 and RFC 5322 (which RSS feeds use) are supported. A time without an offset is in `zone`. Dates such as
    03/04/2024 are not supported, because they mean different days in different countries.
    """
    try:
        moment = parsedate_to_datetime(value) if _EMAIL_DATE.match(value) else datetime.fromisoformat(value)
        return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: an offset that leads beyond the years 1 to 9999
        return None
