"""The labels of a model, and its confidence in them."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.articles import Model
from classifier.model import decisions

PROBABILITIES = np.array([[0.9, 0.25, 0.1], [0.1, 0.1, 0.5]], dtype=np.float32)


def make_model(kind, **values):
    return Model(1, "m", "champion", "", "", ("a", "b", "c"), kind=kind, **values)


def test_a_single_label_model_gives_the_most_probable_category():
    decided = decisions.decide(make_model("single"), PROBABILITIES)
    assert decisions.names_of(decided.labels, ("a", "b", "c")) == [("a",), ("c",)]
    assert decided.confidence.tolist() == pytest.approx([0.9, 0.5])


def test_the_confidence_of_a_label_set_is_that_of_all_decisions_together():
    decided = decisions.decide(make_model("multi", thresholds=(0.5, 0.2, 0.6), min_labels=0), PROBABILITIES)
    assert decisions.names_of(decided.labels, ("a", "b", "c")) == [("a", "b"), ()]
    assert decided.confidence.tolist() == pytest.approx([0.9 * 0.25 * 0.9, 0.9 * 0.9 * 0.5])


def test_a_multi_label_model_without_chosen_thresholds_uses_one_half():
    decided = decisions.decide(make_model("multi", min_labels=1), PROBABILITIES)
    assert decisions.names_of(decided.labels, ("a", "b", "c")) == [("a",), ("c",)]
