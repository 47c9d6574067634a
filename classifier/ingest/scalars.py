"""Convert a typed value to the string that a text file would hold."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from math import isnan
from uuid import UUID


def as_string(value: object) -> str | None:  # noqa: PLR0911 - one return for each type
    """Return the value as a string, or None if it has no obvious string.

    pandas makes whole numbers floats if a value is missing. So a whole float loses its ".0", and NaN becomes "".
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
