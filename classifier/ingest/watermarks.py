"""Compare the watermarks of a query's rows as what they are: numbers, dates, times, or times stored as text.

A database orders text by its characters, and "2024-01-02 09:00" is less than "2024-01-01T10:00" in no calendar. So the
condition has two parts. Rows that are written like the watermark are compared with it exactly, because then the order
of the characters is the order of the times. Rows that are written in another way are compared by their day, a day
earlier for the sake of time zones. Other text has no order that is known here, and is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

import numpy as np
from sqlalchemy import ColumnElement, and_, func, literal, or_

from classifier.exceptions import SourceError
from classifier.value_kinds import describe_kind

Watermark = str | int | float | datetime | date | Decimal

Unit = Literal["unix_s", "unix_ms", "unix_us", "julian_day"]
"""What a number counts, if it is a time."""

_UNITS_PER_SECOND: dict[Unit, float] = {"unix_s": 1, "unix_ms": 1e3, "unix_us": 1e6, "julian_day": 1 / 86400}
_JULIAN_DAY_OF_1970 = 2440587.5

_READ_TYPES: dict[str, Any] = {"int": int, "float": float, "Decimal": Decimal, "str": str,
               "datetime": datetime.fromisoformat, "date": date.fromisoformat}  # fmt: skip

_TEXT_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:(?P<separator>[ T])(?P<minutes>\d\d:\d\d)(?P<seconds>:\d\d)?(?:(?P<point>[.,])(?P<fraction>\d+))?"
    r"(?P<zone> ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?)?",
    re.ASCII,
)
_ANY_DATE = "____-__-__%"
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_MAX_OFFSET = timedelta(days=1)  # between the day that a text shows and the day in UTC


class UnusableWatermarkError(Exception):
    """A value cannot be a watermark; no row of the source may be read by it."""


class BadWatermarkError(Exception):
    """A row's watermark would hide rows that come later; the row must be rejected."""


@dataclass(frozen=True, slots=True)
class Position:
    """A watermark's place in the order. Positions of different kinds cannot be compared.

    `kind` names the values in messages. `moment` is the time, or None if the watermark is not known to be one.
    """

    kind: str
    order: Any
    moment: datetime | None


@dataclass(frozen=True, slots=True)
class TextTime:
    """A time that is stored as text: its value, which has a time zone if the text has one, and how it is written."""

    value: datetime
    form: re.Match[str]

    def pattern(self) -> str:
        """Return the pattern of LIKE that matches all times that are written like this one, in the same zone."""
        written = self.form[0].removesuffix(self.form["zone"] or "")
        return re.sub(r"\d", "_", written) + (self.form["zone"] or "")

    def write(self, value: datetime) -> str:
        """Return a time as text that is written like this one; digits that do not fit are cut off."""
        form = self.form
        if not form["minutes"]:
            return value.date().isoformat()
        shown = value.isoformat(form["separator"], "seconds" if form["seconds"] else "minutes")
        shown = shown[: len(form["date"] + form["separator"] + form["minutes"] + (form["seconds"] or ""))]
        fraction = f"{value.microsecond:06}".ljust(len(form["fraction"] or ""), "0")[: len(form["fraction"] or "")]
        return shown + (form["point"] or "") + fraction + (form["zone"] or "")


@dataclass(frozen=True, slots=True)
class WatermarkRules:
    """How a source's watermarks are compared.

    `zone` is the time zone of times that name none. Rows are read again that are less than `overlap` older than the
    watermark; of numbers, those less than `overlap_number` smaller.
    """

    zone: tzinfo
    overlap: timedelta
    unit: Unit | None = None
    overlap_number: float = 0

    def position(self, value: Any) -> Position | None:
        """Return a value's position, or None if the row has no watermark: it is null or blank.

        Raises:
            BadWatermarkError: it is not a finite number.
            UnusableWatermarkError: the value has no order that is known.
        """
        match value:
            case None:
                return None
            case bool():
                raise UnusableWatermarkError("is true or false; choose a column of times or numbers")
            case int() | float() | Decimal():
                return self._number(value)
            case datetime():
                kind = "times without a time zone" if value.tzinfo is None else "times with a time zone"
                return Position(kind, value, _instant(value, self.zone))
            case date():
                return Position("dates", value, datetime.combine(value, time(), UTC))
            case str():
                return self._text(value)
            case _:
                raise UnusableWatermarkError(f"is {describe_kind(value)}; choose a column of times or numbers")

    def condition(self, mark: ColumnElement[Any], after: Watermark, *, typeof: bool = False) -> ColumnElement[bool]:
        """Return the condition of the rows to read: those from the watermark on, its overlap, and those that are null.

        With `typeof`, each value has a type of its own, as in SQLite, and values of other types are read too, since
        only then can they be refused.
        """
        conditions = [mark >= literal(self._lower_bound(after)), mark.is_(None)]
        if isinstance(after, str):
            written = parse_text_time(after)
            other_day = mark >= literal(self._earliest_day(written))
            conditions.append(and_(mark.not_like(written.pattern()), or_(other_day, mark.not_like(_ANY_DATE))))
        if typeof:
            types = ["text"] if isinstance(after, str) else ["integer", "real"]
            conditions.append(func.typeof(mark).not_in(types))
        return or_(*conditions)

    def _number(self, value: float | Decimal) -> Position:
        if not isfinite(value):
            raise BadWatermarkError("is not a finite number")
        if self.unit is None:
            return Position("numbers", value, None)
        seconds = float(value) - (_JULIAN_DAY_OF_1970 if self.unit == "julian_day" else 0)
        try:
            moment = datetime.fromtimestamp(seconds / _UNITS_PER_SECOND[self.unit], UTC)
        except (ValueError, OverflowError, OSError):
            moment = _LAST if seconds > 0 else _FIRST
        return Position("numbers", value, moment)

    def _text(self, value: str) -> Position | None:
        if not value.strip():
            return None
        moment = _instant(parse_text_time(value).value, self.zone)
        return Position("times as text", moment, moment)

    def _lower_bound(self, after: Watermark) -> Watermark:
        match after:
            case str():
                written = parse_text_time(after)
                return written.write(_subtract(written.value, self._overlap_of(written.value)))
            case datetime():
                return _subtract(after, self._overlap_of(after))
            case date():
                return _subtract(datetime.combine(after, time()), self.overlap).date()
            case Decimal():
                return after - Decimal(str(self._overlap_units()))
            case int():
                return after - int(np.ceil(self._overlap_units()))
            case _:
                return min(after, _single_precision(after)) - self._overlap_units()

    def _overlap_units(self) -> float:
        of_time = 0 if self.unit is None else self.overlap.total_seconds() * _UNITS_PER_SECOND[self.unit]
        return self.overlap_number + of_time

    def _overlap_of(self, value: datetime) -> timedelta:
        """Return the overlap; when clocks are set back, rows that come later show times of the hour before."""
        if value.tzinfo is not None:
            return self.overlap
        earlier, later = (value.replace(tzinfo=self.zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
        return self.overlap + max(earlier - later, timedelta())

    def _earliest_day(self, written: TextTime) -> str:
        moment = _instant(written.value, self.zone)
        return _subtract(moment, self._overlap_of(written.value) + _MAX_OFFSET).date().isoformat()


def parse_text_time(value: str) -> TextTime:
    """Return the time that a text shows.

    Raises:
        UnusableWatermarkError: the text is not a time whose order is known.
    """
    form = _TEXT_TIME.fullmatch(value)
    try:
        if form is None:
            raise ValueError
        zone = (form["zone"] or "").strip().replace("UTC", "Z")
        fraction = f".{form['fraction'][:6]:0<6}" if form["fraction"] else ""
        clock = f"T{form['minutes']}{form['seconds'] or ':00'}{fraction}{zone}" if form["minutes"] else ""
        return TextTime(datetime.fromisoformat(form["date"] + clock), form)
    except ValueError:
        try:
            float(value)
        except ValueError:
            problem = "is text, but not a time such as 2024-03-31 10:00:00"
        else:
            problem = "is a number that is stored as text, and text has another order"
        raise UnusableWatermarkError(
            f"{problem}; choose a column of times or numbers, or CAST it in the query"
        ) from None


def watermark_to_json(value: Watermark | None) -> dict[str, str] | None:
    """Return a watermark as the database stores it."""
    if value is None:
        return None
    if (kind := type(value).__name__) not in _READ_TYPES:
        problem = f"a watermark that is {describe_kind(value)} cannot be stored"
        raise SourceError(f"{problem}; choose a column of times or numbers")
    return {"kind": kind, "value": value.isoformat() if isinstance(value, date) else str(value)}


def watermark_from_json(value: dict[str, str] | None) -> Watermark | None:
    """Return the watermark that `watermark_to_json` wrote; None, so that everything is read, if it is not finite."""
    watermark: Watermark | None = None if value is None else _READ_TYPES[value["kind"]](value["value"])
    return None if isinstance(watermark, float | Decimal) and not isfinite(watermark) else watermark


def _instant(value: datetime, zone: tzinfo) -> datetime:
    """Return a time in UTC; at the ends of the calendar, the first or last time there is."""
    try:
        return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        return _FIRST if value.year == 1 else _LAST


def _subtract(value: datetime, difference: timedelta) -> datetime:
    try:
        return value - difference
    except OverflowError:  # the driver returns the year 1 for -infinity
        return datetime.min.replace(tzinfo=value.tzinfo)


def _single_precision(value: float) -> float:
    """Return the number of single precision that is shown with the same digits, if there is one, else the number.

    Postgres shows a `real` by few digits, and compares its exact value.
    """
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return float(single) if float(str(single)) == value else value
