"""Names from sources and users: normalized categories, look-alikes, and names that fit into an index."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.names import control_character, look_alikes, normalize_category, shorten_name

NFD = unicodedata.normalize("NFD", "Économie")


@pytest.mark.parametrize(
    "name",
    ["Sport", " Sport\t", "Sport\u200b", "\ufeffSport", "\u2060 Sport \u200e\xa0", "Sport\u3164", "\n\u200b\nSport"],
)
def test_invisible_characters_at_the_ends_of_a_category_are_removed(name):
    assert normalize_category(name) == "Sport"


def test_a_category_is_stored_in_one_unicode_form():
    assert normalize_category(NFD) == "Économie" != NFD


@pytest.mark.parametrize(
    "name", ["a\u200db", "👩\u200d👧", "\u0645\u06cc\u200c\u062e\u0648", "❤\ufe0f", "A & B", "x=y", "Ünïcödé 世界"]
)
def test_joiners_inside_a_category_are_kept(name):
    assert normalize_category(name) == name


@given(st.text())
def test_normalizing_twice_changes_nothing(name):
    assert normalize_category(normalize_category(name)) == normalize_category(name)


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\0b", "a\x7fb", "a\u0085b", "a\u2028b", "a\ud800b"])
def test_control_characters_are_named(name):
    assert control_character(name) == f"U+{ord(name[1]):04X}"


@pytest.mark.parametrize("name", ["Sport", "Économie", "A & B", "a\u200db", "世界"])
def test_other_characters_are_not_control_characters(name):
    assert control_character(name) is None


@pytest.mark.parametrize("other", ["sport", "SPORT", "Sp\u200bort", "Sp\u00adort", "S\u202eport\u202c", "Sport\ufe0f"])
def test_names_that_differ_by_case_or_invisibly_look_alike(other):
    assert look_alikes(["Sport", other, "Tech"]) == [tuple(sorted(["Sport", other]))]
    assert look_alikes([other], ["Sport", "Tech"]) == [tuple(sorted(["Sport", other]))]


def test_white_space_inside_a_name_makes_no_visible_difference():
    (group,) = look_alikes(["World news", "World\xa0 news"])
    assert set(group) == {"World news", "World\xa0 news"}


def test_names_that_only_the_database_has_are_not_compared_with_each_other():
    assert look_alikes(["Tech"], ["Sport", "sport"]) == []
    assert look_alikes([], ["Sport", "sport"]) == []


@pytest.mark.parametrize("name", ["", "short", "é" * 50])
def test_a_name_that_fits_is_unchanged(name):
    assert shorten_name(name, 100) == name


@given(st.text(min_size=26), st.integers(100, 300))
def test_a_long_name_is_shortened_to_its_limit_and_keeps_its_beginning_and_end(part, size):
    name = f"begin{part * 30}end"
    result = shorten_name(name, size)
    assert len(result.encode()) <= size
    assert result == name or (result.startswith("begin") and result.endswith("end") and "…" in result)


def test_long_names_that_differ_anywhere_stay_different():
    generator = random.Random(1)
    names = {f"{'a' * 500}{generator.random()}{'b' * 500}" for _ in range(1000)}
    assert len({shorten_name(name, 200) for name in names}) == 1000
