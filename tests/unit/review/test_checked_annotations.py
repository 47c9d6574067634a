"""Whether a person's annotation corrects the one that was doubted, also after categories have changed."""

from __future__ import annotations

import pytest

from classifier.pipeline.review.checked_annotations import is_corrected
from classifier.taxonomy import CategoryChange, replay

SPLIT = CategoryChange("split", ("a",), ("p", "q"))


@pytest.mark.parametrize(
    ("changes", "doubted", "by_person", "corrected"),
    [
        ([], ["a"], ["a"], False),
        ([], ["a"], ["b"], True),
        ([], ["a", "b"], ["a"], True),
        ([], ["a"], ["a", "b"], True),
        ([], ["a"], [], True),
        ([], [], [], False),
        ([CategoryChange("rename", ("a",), ("z",))], ["a"], ["z"], False),
        ([CategoryChange("merge", ("a", "b"), ("b",))], ["a"], ["b"], False),
        ([CategoryChange("retire", ("a",))], ["a", "b"], ["b"], False),
        ([CategoryChange("retire", ("a",))], ["b"], ["a", "b"], False),
        ([CategoryChange("retire", ("a",))], ["a"], ["b"], True),
        ([SPLIT], ["a"], ["p"], False),
        ([SPLIT], ["a"], ["b"], True),
        ([SPLIT], ["a", "b"], ["b"], True),
        ([SPLIT, CategoryChange("split", ("p",), ("q", "r"))], ["a"], ["r"], False),
        ([SPLIT, CategoryChange("retire", ("p",))], ["a"], ["p"], False),
    ],
)
def test_annotations_are_compared_by_the_categories_of_today(changes, doubted, by_person, corrected):
    assert is_corrected(replay(changes), doubted, by_person) is corrected
