"""A recipe that cannot train is refused before anything is read."""

from __future__ import annotations

import pytest

from classifier.exceptions import SettingsError
from classifier.training.recipes import Recipe


@pytest.mark.parametrize("precision", ["auto", "float32", "mixed_bfloat16", "mixed_float16"])
def test_usual_values_are_taken(precision):
    assert Recipe(precision=precision, epochs=1, batch_size=1, patience=1, max_length=8).precision == precision


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"patience": -1}, "at least 1"),
        ({"learning_rate": 0.0}, "between 0 and 1"),
        ({"learning_rate": 1.0}, "between 0 and 1"),
        ({"learning_rate": float("nan")}, "between 0 and 1"),
        ({"max_length": 7}, "at least 8 word pieces"),
        ({"precision": "bf16"}, "'bf16': one of auto"),
    ],
)
def test_impossible_values_are_refused(values, reason):
    with pytest.raises(SettingsError, match=reason):
        Recipe(**values)
