"""The softmax has the bits of SciPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from classifier.model.softmax import softmax

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=20)


@given(arrays(np.float64, SHAPES, elements=st.floats(-1e6, 1e6)))
def test_the_bits_are_those_of_scipy(logits):
    from scipy import special

    np.testing.assert_array_equal(softmax(logits), special.softmax(logits, axis=1))


@pytest.mark.parametrize("shape", [(0, 3), (3, 1)])
def test_no_rows_or_one_category_are_allowed(shape):
    np.testing.assert_array_equal(softmax(np.zeros(shape)), np.ones(shape))


def test_nan_stays_nan_in_its_row_only():
    result = softmax(np.array([[0.0, np.nan], [1.0, 1.0]]))
    assert np.isnan(result[0]).all()
    assert result[1].tolist() == [0.5, 0.5]
