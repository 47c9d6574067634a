"""Texts that a model breaks on are found, and nothing else is blamed."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.labelling.bisection import outcomes


def compute(texts):
    if any("poison" in text for text in texts):
        raise RuntimeError("cannot\0 read \ud800\nthis")
    return np.array([[0.25, np.nan if text == "odd" else 0.75] for text in texts], dtype=np.float32)


def test_each_text_has_its_own_outcome_in_order():
    found = outcomes(compute, ["x", "poison", "odd", "y", "poison", "poison"])
    assert [one if isinstance(one, str) else one.tolist() for one in found] == [
        [0.25, 0.75],
        "RuntimeError: cannot read ?",
        "its probabilities are not numbers",
        [0.25, 0.75],
        "RuntimeError: cannot read ?",
        "RuntimeError: cannot read ?",
    ]


def test_no_texts_have_no_outcomes():
    assert outcomes(compute, []) == []


@pytest.mark.parametrize("fault", [MemoryError(), OSError(), RuntimeError("the model is broken")])
def test_what_is_wrong_with_every_text_is_raised(fault):
    def broken(_):
        raise fault

    with pytest.raises(type(fault)):
        outcomes(broken, ["x", "y", "z"])
