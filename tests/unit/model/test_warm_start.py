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


class TestMultiLabel:
    BIASES = np.array([-3.0, -1.0, -2.0], dtype=np.float32)

    def test_new_categories_start_at_their_own_bias(self, tmp_path):
        source = make_artefact(tmp_path / "model", ("business", "sport", "tech"), kind="multi")
        result = warm_start.initial_checkpoint(source, ("art", "business", "tech"), seed=0, biases=self.BIASES).weights
        head = source.checkpoint().weights
        np.testing.assert_array_equal(result[BIAS], [-3.0, *head[BIAS][[0, 2]]])
        np.testing.assert_array_equal(result[KERNEL][1:], head[KERNEL][[0, 2]])
        assert self.BIASES.tolist() == [-3.0, -1.0, -2.0]

    @pytest.mark.parametrize(("kind", "biases"), [("single", BIASES), ("multi", None)])
    def test_the_head_of_a_model_of_the_other_kind_is_left_out(self, tmp_path, kind, biases):
        source = make_artefact(tmp_path / "model", ("business", "sport", "tech"), kind=kind)
        result = warm_start.initial_checkpoint(source, source.categories, seed=0, biases=biases).weights
        expected = source.checkpoint().weights
        assert set(expected) - set(result) == {KERNEL, BIAS, "pre_classifier.weight", "pre_classifier.bias"}
        assert all((result[name] == expected[name]).all() for name in result)
