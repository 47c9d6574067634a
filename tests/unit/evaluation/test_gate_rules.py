"""With a thousand categories or sources, a decision's reason stays readable and its statistics small."""

from __future__ import annotations

import json

import numpy as np

from classifier.evaluation import gate_rules
from classifier.evaluation.comparison import Difference

PARTS = {f"c{number:04d}": Difference(0.5, 0.6 + number / 10_000, np.full(200, -0.1)) for number in range(1_000)}


def test_a_reason_names_the_worst_parts_and_counts_the_others():
    result = gate_rules._check_part("categories", "F1 of category", PARTS, 0.05, 0.05)
    assert result.outcome == "fail"
    assert result.reason.startswith("F1 of category c0999: -19.99 points; F1 of category c0998")
    assert result.reason.count("F1 of category") == gate_rules.MAX_NAMED
    assert "; and 990 more; the margin is" in result.reason


def test_the_statistics_of_the_worst_parts_are_kept():
    result = gate_rules._check_part("categories", "F1 of category", PARTS, 0.05, 0.05)
    assert len(result.statistics) == gate_rules.MAX_PARTS
    assert "c0999" in result.statistics
    assert "c0000" not in result.statistics
    assert len(json.dumps(result.statistics)) < 20_000
