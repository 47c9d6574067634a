"""A model's name sorts by time and is unique."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from classifier import registry


def test_names_differ_even_within_a_second():
    names = [registry.new_name() for _ in range(50)]
    assert len(set(names)) > 45
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", name) for name in names)


def test_names_sort_by_time(monkeypatch):
    class Clock:
        moments = iter(
            datetime(*when, tzinfo=UTC)
            for when in ((2025, 12, 31, 23, 59, 59), (2026, 1, 1), (2026, 1, 1, 0, 0, 1), (2026, 10, 2))
        )

        @classmethod
        def now(cls, zone):
            return next(cls.moments).astimezone(zone)

    monkeypatch.setattr(registry, "datetime", Clock)
    names = [registry.new_name() for _ in range(4)]
    assert names == sorted(names)
