"""No two advisory locks share a number, and each number stands in one module."""

from __future__ import annotations

import re
from pathlib import Path

import classifier
from classifier import embedded_postgres
from classifier.store import locks

NUMBERS = {name: value for name, value in vars(locks).items() if name.isupper()}


def test_no_two_locks_have_one_number():
    numbers = [*NUMBERS.values(), embedded_postgres._CREATE_LOCK]
    assert len(numbers) > 10
    assert len(set(numbers)) == len(numbers)


def test_the_first_of_two_keys_fits_in_the_four_bytes_that_postgres_has_for_it():
    names = ("SOURCE", "OPEN_PAGES", "MODEL_FILES", "EVALUATIONS")
    assert all(NUMBERS[name] < 2**31 for name in names)


def test_no_other_module_of_the_store_has_a_number_of_its_own():
    store = Path(classifier.__file__).parent / "store"
    others = [path for path in store.rglob("*.py") if path.name != "locks.py"]
    assert not [path.name for path in others if re.search(r"73\d_?\d{3}", path.read_text(encoding="utf-8"))]
