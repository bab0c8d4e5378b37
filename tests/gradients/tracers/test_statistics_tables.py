"""The variables that a step on TensorFlow keeps its statistics in."""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("is about TensorFlow alone", allow_module_level=True)

import tensorflow as tf

from keras_perceptual.gradients.statistics import SUMS, WIDTH
from keras_perceptual.gradients.tracers.tensorflow.statistics_tables import (
    StatisticsTables,
)


def tables_of(*keys):
    tables = StatisticsTables(tf.distribute.get_strategy())
    tables.make_room(keys)
    return tables


def row(*numbers):
    return np.resize(np.float32(numbers), WIDTH)


@pytest.mark.parametrize("mode", [{}, {"jit_compile": True}, None], ids=str)
def test_the_first_numbers_are_added_and_of_the_others_the_largest_is_kept(
    mode,
):
    tables = tables_of(1, 2, 3)

    def step(rows):
        tables.add([3, 1], rows)

    step = step if mode is None else tf.function(step, **mode)
    first = {3: row(1, 5), 1: row(2, 2)}
    second = {3: row(4, 3), 1: row(0, 7)}
    for rows in (first, second):
        step(tf.stack(list(rows.values())))
    found = tables.read()
    for key in (1, 3):
        total = np.maximum(first[key], second[key])
        total[:SUMS] = (first[key] + second[key])[:SUMS]
        np.testing.assert_array_equal(found[key], total)
    np.testing.assert_array_equal(found[2], np.zeros(WIDTH))


def test_room_for_more_leaves_what_is_there():
    tables = tables_of(1)
    tables.add([1], row(2)[None])
    tables.make_room([1, 2])
    tables.add([2, 1], tf.stack([row(3), row(1)]))
    found = tables.read()
    assert list(found) == [1, 2]
    np.testing.assert_array_equal(found[1][:SUMS], 3)
    np.testing.assert_array_equal(found[1][SUMS:], 2)
    np.testing.assert_array_equal(found[2], 3)


def test_nothing_is_left_when_they_are_cleared():
    tables = tables_of(1)
    tables.add([1], row(2)[None])
    tables.clear()
    np.testing.assert_array_equal(tables.read()[1], np.zeros(WIDTH))
