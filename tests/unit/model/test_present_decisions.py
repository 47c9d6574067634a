"""What a model decides in the categories of today."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.articles import Model
from classifier.model.decisions import decide, decide_present, present_thresholds


def model(kind="single", names=(), **values):
    return Model(1, "m", "champion", "/none", "0", ("a", "b", "c"), kind=kind, present_names=names, **values)


ROWS = np.array([[0.4, 0.35, 0.25], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]], np.float32)


def test_without_a_change_it_decides_as_it_labels():
    present, labelled = decide_present(model(), ROWS), decide(model(), ROWS)
    assert present.categories == ("a", "b", "c")
    assert present.probabilities is ROWS, "nothing is copied"
    assert np.array_equal(present.labels, labelled.labels)
    assert np.array_equal(present.confidence, labelled.confidence)


def test_the_probabilities_of_merged_categories_are_added_so_another_one_may_win():
    present = decide_present(model(names=("x", "x", "c")), ROWS)
    assert present.categories == ("x", "c")
    assert present.probabilities == pytest.approx(np.array([[0.75, 0.25], [0.6, 0.4], [0.4, 0.6]]))
    assert present.labels.tolist() == [[True, False], [True, False], [False, True]]
    assert present.confidence == pytest.approx([0.75, 0.6, 0.6])


def test_of_several_labels_a_merged_category_has_the_highest_probability_and_either_label():
    multi = model("multi", ("x", "b", "x"), thresholds=(0.35, 0.9, 0.5))
    present = decide_present(multi, ROWS)
    assert present.categories == ("x", "b")
    assert present.probabilities == pytest.approx(np.array([[0.4, 0.35], [0.4, 0.3], [0.6, 0.2]]))
    assert present.labels.tolist() == [[True, False], [True, False], [True, False]]
    assert present_thresholds(multi) == (0.35, 0.9)
