"""A row that is newer than the watermark, or less than the overlap older, is always read, however times are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import create_engine, literal, select

from classifier.ingest.watermarks import UnusableWatermarkError, WatermarkRules, parse_text_time

FORMATS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M:%S,%f000",
)  # fmt: skip
ZONE = ZoneInfo("Europe/Athens")
RULES = WatermarkRules(ZONE, timedelta(seconds=60))

moments = st.datetimes(datetime(2024, 10, 24), datetime(2024, 10, 30), timezones=st.just(UTC))  # noqa: DTZ001
offsets = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@st.composite
def written(draw, moment=moments):
    """Return a time as text."""
    form = draw(st.sampled_from(FORMATS))
    value = draw(moment)
    if "%z" in form:
        return value.astimezone(draw(offsets)).strftime(form)
    return value.astimezone(UTC if form.endswith(("Z", "UTC")) else ZONE).strftime(form)


@pytest.fixture(scope="module")
def connection():
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def is_read(connection, after, text):
    row = select(literal(text).label("mark")).subquery("source")
    return connection.execute(select(row).where(RULES.condition(row.c.mark, after, typeof=True))).first() is not None


@given(after=written(), text=written())
@example(after="2024-10-27 03:50:00", text="2024-10-27 03:10:00")
@example(after="2024-10-27T23:00:00+14:00", text="2024-10-26 22:00:00-1200")
def test_a_newer_row_is_read(connection, after, text):
    watermark, moment = (RULES.position(value).moment for value in (after, text))
    if moment >= watermark - RULES.overlap:
        assert is_read(connection, after, text)


@given(text=written())
def test_a_time_is_read_as_it_was_written(text):
    parsed = parse_text_time(text)
    assert parsed.write(parsed.value) == text


@given(text=written())
def test_days_that_have_long_been_read_are_not_read_again(connection, text):
    assert not is_read(connection, "2024-11-02 10:00:00", text)


@given(text=st.text(alphabet="0123456789-:TZ .+abc", max_size=24))
def test_any_other_text_is_read_so_that_it_can_be_refused(connection, text):
    try:
        parse_text_time(text)
    except UnusableWatermarkError:
        looks_older = text[4:5] + text[7:8] == "--" and text < "2024-01-09"
        assert is_read(connection, "2024-01-10 10:00:00", text) or looks_older
