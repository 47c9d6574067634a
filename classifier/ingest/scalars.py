"""Turn a typed value into the string that a text file would hold."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from math import isnan
from uuid import UUID


def as_string(value: object) -> str | None:  # noqa: PLR0911 - one a kind
    """Return the value as a string, None where it has no obvious one.

    pandas makes floats of whole numbers as soon as one is missing: they lose their ".0" again, and
    NaN is "".
    """
    match value:
        case str():
            return value
        case bool():
            return None
        case int() | Decimal() | UUID():
            return str(value)
        case float():
            return "" if isnan(value) else str(int(value)) if value.is_integer() else str(value)
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case datetime() | date():
            return value.isoformat()
        case _:
            return None
