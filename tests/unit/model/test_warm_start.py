"""A training may start from an earlier model, whose head is reordered by the categories' names."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from classifier.model import warm_start
from tests.support.tiny_models import make_artefact

KERNEL, BIAS = "classifier.weight", "classifier.bias"


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    return make_artefact(tmp_path_factory.mktemp("models") / "m", ("business", "sport", "tech"))


@pytest.fixture
def head(artefact):
    return artefact.checkpoint().weights


def test_the_same_categories_keep_every_weight(artefact, head):
    result = warm_start.initial_checkpoint(artefact, ("business", "sport", "tech"), seed=0).weights
    assert result.keys() == head.keys()
    assert all((result[name] == head[name]).all() for name in head)


def test_rows_follow_their_categories_and_new_ones_begin_small(artefact, head, caplog):
    caplog.set_level(logging.INFO)
    result = warm_start.initial_checkpoint(artefact, ("art", "business", "tech"), seed=0).weights
    np.testing.assert_array_equal(result[KERNEL][1:], head[KERNEL][[0, 2]])
    np.testing.assert_array_equal(result[BIAS], [0.0, *head[BIAS][[0, 2]]])
    assert 0 < np.abs(result[KERNEL][0]).max() < 0.1
    assert result[KERNEL].dtype == np.float32
    assert all((result[name] == head[name]).all() for name in head if name not in {KERNEL, BIAS})
    assert "2 of 3 categories; new: ['art']; left out: ['sport']" in caplog.text


def test_new_rows_depend_on_the_seed_alone(artefact):
    categories = ("art", "sport")
    once, again, other = (
        warm_start.initial_checkpoint(artefact, categories, seed=seed).weights[KERNEL] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, again)
    assert (once[0] != other[0]).all()
