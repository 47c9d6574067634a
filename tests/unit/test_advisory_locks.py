"""No two advisory locks share a number, and only one module has numbers."""

from __future__ import annotations

import re
from pathlib import Path

import classifier
from classifier import advisory_locks

NUMBERS = {name: value for name, value in vars(advisory_locks).items() if name.isupper()}


def test_no_two_locks_share_a_number():
    assert len(NUMBERS) > 10
    assert len(set(NUMBERS.values())) == len(NUMBERS)


def test_the_first_of_two_keys_fits_into_four_bytes():
    names = ("SOURCE", "OPEN_PAGES", "MODEL_FILES", "EVALUATIONS")
    assert all(NUMBERS[name] < 2**31 for name in names)


def test_no_other_module_has_a_number_of_its_own():
    package = Path(classifier.__file__).parent
    others = [path for path in package.rglob("*.py") if path.name != "advisory_locks.py"]
    number = re.compile(r"\b7_?30[0-9_]{3,}")
    assert number.search("lock = 7_303_014_202_617")
    assert [path.name for path in others if number.search(path.read_text(encoding="utf-8"))] == []
