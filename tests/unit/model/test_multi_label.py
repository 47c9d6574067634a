"""A text gets each category whose probability reaches the category's own threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from classifier.model import multi_label
from classifier.model.sigmoid import logit, sigmoid

THRESHOLDS = np.array([0.5, 0.2, 0.8], dtype=np.float32)


def test_a_label_is_a_category_that_reaches_its_threshold():
    probabilities = np.array([[0.5, 0.1, 0.9], [0.4, 0.2, 0.79], [0.1, 0.1, 0.1]], dtype=np.float32)
    labels = multi_label.assign_labels(probabilities, THRESHOLDS, min_labels=0)
    np.testing.assert_array_equal(labels, [[True, False, True], [False, True, False], [False, False, False]])


def test_if_a_text_must_have_a_label_the_category_closest_to_its_threshold_is_one():
    probabilities = np.array([[0.4, 0.19, 0.4], [0.1, 0.01, 0.7], [0.6, 0.1, 0.79]], dtype=np.float32)
    labels = multi_label.assign_labels(probabilities, THRESHOLDS, min_labels=1)
    np.testing.assert_array_equal(labels, [[False, True, False], [False, False, True], [True, False, False]])


@pytest.mark.parametrize("min_labels", [0, 1])
def test_no_texts_have_no_labels(min_labels):
    assert multi_label.assign_labels(np.empty((0, 3), np.float32), THRESHOLDS, min_labels=min_labels).shape == (0, 3)


@given(
    arrays(np.float32, (20, 3), elements=st.floats(0, 1, width=32)),
    arrays(np.float32, 3, elements=st.floats(0.0625, 1, width=32)),
    st.integers(0, 1),
)
def test_a_texts_labels_depend_on_that_text_alone(probabilities, thresholds, min_labels):
    together = multi_label.assign_labels(probabilities, thresholds, min_labels=min_labels)
    alone = [multi_label.assign_labels(row[None], thresholds, min_labels=min_labels)[0] for row in probabilities]
    np.testing.assert_array_equal(together, alone)
    assert together.any(axis=1).all() or not min_labels


def test_a_model_without_chosen_thresholds_has_a_half_for_each_category():
    np.testing.assert_array_equal(multi_label.from_calibration({}, 3), [0.5, 0.5, 0.5])
    chosen = multi_label.from_calibration({"thresholds": {"values": [0.2, 0.9]}}, 2)
    np.testing.assert_array_equal(chosen, np.array([0.2, 0.9], dtype=np.float32))


@given(arrays(np.float64, (5, 4), elements=st.floats(-700, 700)))
def test_the_sigmoid_is_scipys(logits):
    from scipy import special

    np.testing.assert_allclose(sigmoid(logits), special.expit(logits), rtol=1e-14)
    assert sigmoid(logits.astype(np.float32)).dtype == np.float32


def test_the_logit_is_the_inverse_and_finite_for_certain_probabilities():
    values = np.linspace(-15, 15, 101)
    np.testing.assert_allclose(logit(sigmoid(values)), values, atol=1e-8)
    certain = logit(np.array([0, 1], dtype=np.float32))
    assert np.isfinite(certain).all()
    assert certain[0] < -80 < 16 < certain[1]
    assert np.isnan(logit(np.array([np.nan]))).all()
