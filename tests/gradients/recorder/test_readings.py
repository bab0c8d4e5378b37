"""Numbers of a step become a reading, and readings a table."""

import types

import numpy as np

from keras_perceptual.gradients.recorder.readings import (
    Readings,
    make_reading,
    to_records,
)
from keras_perceptual.gradients.statistics import GradientStatistics


def read(step=1, rows=(), updates=((2.0, 1.0),), counts_zeros=True, names="a"):
    variables = [types.SimpleNamespace(path=name) for name in names]
    rows = {id(v): row for v, row in zip(variables, rows, strict=False)}
    return make_reading(
        step,
        0,
        0.5,
        variables,
        rows,
        np.array(updates),
        counts_zeros=counts_zeros,
    )


def test_numbers_of_a_variable():
    row = GradientStatistics(1, 1, 0, 0, 3.0, 3.0, 0.25)
    reading = read(rows=[row])
    assert (reading.norm[0], reading.update[0], reading.zeros[0]) == (
        3.0,
        0.5,
        0.25,
    )
    assert reading.is_finite
    assert np.isnan(read(rows=[row], counts_zeros=False).zeros[0])


def test_what_is_not_known_is_nan():
    """Without a gradient, with one that is not finite, with no weight."""
    for rows in ([], [GradientStatistics()]):
        assert np.isnan(read(rows=rows).norm[0])
        assert np.isnan(read(rows=rows).zeros[0])
    assert np.isnan(read(updates=((0.0, 0.0),)).update[0])
    assert read(updates=((0.0, 0.0),)).is_finite


def test_what_is_not_finite():
    broken = GradientStatistics(calls=1, nonfinite=1)
    assert not read(rows=[broken]).is_finite
    assert not read(updates=((np.nan, 1.0),)).is_finite
    assert not read(updates=((1.0, np.inf),)).is_finite
    # Loss scaling throws it away.
    overflowed = read(rows=[GradientStatistics(calls=1, overflowed=1)])
    assert overflowed.is_finite and np.isnan(overflowed.norm[0])


def test_the_last_ones_are_kept():
    readings = Readings(2)
    assert readings.paths == () and readings.column("norm").shape == (0, 0)
    for step in (1, 2, 3):
        readings.add(read(step))
    assert [r.step for r in readings] == [2, 3] == readings.steps.tolist()
    assert readings.column("update").tolist() == [[0.5], [0.5]]
    assert [r["step"] for r in to_records(readings)] == [2, 3]
    # Of another model there is nothing to compare with.
    readings.add(read(4, names="b"))
    assert len(readings) == 1
