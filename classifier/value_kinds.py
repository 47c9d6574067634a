"""What a value is, in words of users: messages never show a type of Python."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from numbers import Number

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (str, "a string"),
    (datetime, "a time"),
    (date, "a date"),
    (timedelta, "a duration"),
    (Number, "a number"),
    ((bytes, bytearray, memoryview), "bytes"),
    (Mapping, "an object with keys"),
    ((list, tuple, set), "a list"),
)


def describe_kind(value: object) -> str:
    """Return what a value is, such as "a number"; "nothing" for None."""
    if value is None:
        return "nothing"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "another kind of value")
