"""Grey levels of stored values, against values computed by hand."""

import numpy as np
import pytest

from medlabel.data.decoding.levels import (
    from_own_range,
    own_range_sentence,
    scaled_by_own_range,
    to_grey_levels,
)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.uint32, np.float32])
def test_the_lowest_value_is_black_and_the_highest_is_white(dtype):
    values = np.array([[1000, 1255], [1100, 1010]], dtype)
    assert from_own_range(values).tolist() == [[0, 255], [100, 10]]
    assert from_own_range(values, inverted=True).tolist() == [[255, 0], [155, 245]]


def test_values_of_a_wide_range_need_no_table():
    values = np.array([0, 2**31, 2**32 - 1], np.uint32)
    assert from_own_range(values).tolist() == [0, 128, 255]


def test_an_image_of_one_value_is_black():
    assert not from_own_range(np.full((2, 2), 700, np.uint16)).any()


def test_values_outside_of_a_window_are_black_or_white():
    assert to_grey_levels(np.array([-9, 0, 51, 300]), 0, 255).tolist() == [0, 0, 51, 255]
    assert to_grey_levels(np.array([-9, 300]), 0, 255, inverted=True).tolist() == [255, 0]


def test_it_is_noted_that_an_image_was_scaled_by_its_own_range():
    scaled_by_own_range.set(False)
    from_own_range(np.arange(4))
    assert scaled_by_own_range.get()


def test_what_is_not_a_number_has_no_grey_level():
    with pytest.raises(ValueError, match="not a number"):
        to_grey_levels(np.array([0.0, np.nan]), 0, 1)


def test_nothing_is_said_where_no_image_was_scaled_by_its_own_range():
    assert own_range_sentence(0) == ""
    assert own_range_sentence(1).startswith("1 image has more than 8 bits")
