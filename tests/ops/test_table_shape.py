import checks
import keras
import numpy as np
import pytest

from keras_perceptual import ops
from keras_perceptual.ops.table_shape import descent, make_monotonic, roughness


def number(x):
    return float(keras.ops.convert_to_numpy(x))


def tensor(x):
    return keras.ops.convert_to_tensor(x, "float32")


@pytest.fixture(params=[(7, 3), (2, 3), (4, 5, 6, 3)], ids=str)
def table(request, rng):
    return rng.uniform(-0.5, 1.5, request.param).astype("float32")


def zeng(table):
    """The total variation of Zeng et al., weights written out."""
    total = 0.0
    for axis in range(table.ndim - 1):
        squares = np.diff(table.astype("float64"), axis=axis) ** 2
        weights = np.ones(squares.shape[axis])
        weights[[0, -1]] = 2.0
        shape = [1] * table.ndim
        shape[axis] = -1
        total += np.mean(squares * weights.reshape(shape))
    return total


def test_total_variation(table):
    assert number(roughness(tensor(table))) == pytest.approx(zeng(table))


def test_second_differences(table):
    expected = sum(
        np.mean(np.diff(table.astype("float64"), 2, axis=axis) ** 2)
        for axis in range(table.ndim - 1)
        if table.shape[axis] > 2
    )
    found = number(keras.ops.cast(roughness(tensor(table), 2), "float32"))
    assert found == pytest.approx(expected)


def test_a_straight_table_has_no_second_differences():
    straight = 0.25 + 0.5 * ops.identity_cube(9)
    assert number(roughness(tensor(straight), 2)) < 1e-13


def test_tables_of_two_entries_have_no_second_differences():
    """And the cost of them is a tensor, which has a gradient."""
    table = keras.ops.ones((2, 3), "float32")
    cost = roughness(table, order=2)
    assert keras.ops.is_tensor(cost)
    assert float(cost) == 0.0


def test_falls(table):
    def falls(axis, part):
        return np.mean(np.maximum(-np.diff(part, axis=axis), 0))

    axes = range(table.ndim - 1)
    expected = sum(falls(axis, table) for axis in axes)
    assert number(descent(tensor(table), "all")) == pytest.approx(expected)
    if table.ndim == 4:
        expected = sum(falls(axis, table[..., axis]) for axis in axes)
    assert number(descent(tensor(table))) == pytest.approx(expected)


@pytest.mark.parametrize("axes", ["own", "all"])
def test_made_monotonic(table, axes):
    found = keras.ops.convert_to_numpy(make_monotonic(tensor(table), axes))
    for axis in range(table.ndim - 1):
        part = found
        if axes == "own" and table.ndim == 4:
            part = found[..., axis]
        assert np.all(np.diff(part, axis=axis) >= 0)
    again = keras.ops.convert_to_numpy(make_monotonic(tensor(found), axes))
    np.testing.assert_array_equal(again, found)
    assert found.min() >= table.min() and found.max() <= table.max()


def test_a_rising_table_stays_as_it_is(rng):
    steps = rng.uniform(0, 1, (4, 5, 6, 3)).astype("float32")
    rising = np.cumsum(np.cumsum(np.cumsum(steps, 0), 1), 2)
    for axes in ("own", "all"):
        found = make_monotonic(tensor(rising), axes)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), rising)


@pytest.mark.parametrize(
    "cost",
    [
        roughness,
        lambda x: roughness(x, 2),
        descent,
        lambda x: descent(x, "all"),
    ],
    ids=["variation", "second", "own", "all"],
)
def test_finite_differences(rng, cost):
    table = rng.uniform(0, 1, (3, 3, 4, 3)).astype("float32")
    checks.check_finite_differences(cost, table, step=1e-3)
