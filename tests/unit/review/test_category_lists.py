"""Several categories in one cell of a sheet are read back exactly, and an invalid list has a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.exceptions import ReviewError
from classifier.names import normalize_category
from classifier.review import category_lists
from classifier.review.sheet import InvalidRow, SheetAnswer, read_sheet

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12) | st.text(
    'a"; ()none', min_size=1, max_size=12
)


@given(st.lists(names.map(normalize_category).filter(bool), unique=True, max_size=5))
def test_a_list_is_read_back_exactly(categories):
    cell = category_lists.format_categories(categories)
    assert category_lists.parse_categories(normalize_category(cell)) == tuple(categories)


@pytest.mark.parametrize(
    ("cell", "categories"),
    [
        ("gold", ("gold",)),
        ("gold; ship", ("gold", "ship")),
        ("gold;ship ;", ("gold", "ship")),
        ('"oil; gas"; gold', ("oil; gas", "gold")),
        ('say "so"; gold', ('say "so"', "gold")),
        ("(none)", ()),
        ('"(none)"', ("(none)",)),
    ],
)
def test_a_cell_has_its_categories(cell, categories):
    assert category_lists.parse_categories(cell) == categories


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("(none); gold", "category has (none) with other categories"),
        (" ; ;", "category has only separators; write (none) for none of them"),
    ],
)
def test_an_invalid_list_has_a_reason(cell, reason):
    with pytest.raises(ReviewError) as error:
        category_lists.parse_categories(cell)
    assert str(error.value) == reason


def test_a_sheet_of_a_multi_label_task_has_lists(tmp_path):
    path = tmp_path / "filled.csv"
    rows = ["7,1,gold; ship,ann", "8,1,(none),ann", "9,1,,ann", "10,1,gold; gold,ann", f"11,1,gold; {'s' * 201},ann"]
    path.write_text("\n".join(["id,revision,category,annotator", *rows]))
    assert list(read_sheet(path, kind="multi")) == [
        SheetAnswer(2, 7, 1, ("gold", "ship"), "ann", None),
        SheetAnswer(3, 8, 1, (), "ann", None),
        None,
        InvalidRow(5, "category 'gold' is named twice"),
        InvalidRow(6, "category is longer than 200 characters"),
    ]
