import keras
import numpy as np
import pytest

from keras_perceptual.layers.table_sources import GivenTable, OwnTable

TABLE = np.zeros((5, 3), "float32")


def given(**changes):
    settings = {
        "owner": "Layer",
        "name": "grade",
        "size": 5,
        "dimensions": 1,
        "shape": (5, 3),
        "regularizer": None,
        "constraint": None,
    }
    return GivenTable(**{**settings, **changes})


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3), (None, 5, 3)])
def test_tables_that_fit(shape):
    given().check(shape)


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (3,), (1, 1, 5, 3)])
def test_tables_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"^Layer with size=5.*table.shape="):
        given().check(shape)


@pytest.mark.parametrize("shape", [(5, 1), (5,), (2, 5), (2, 5, 1), (None, 5)])
def test_one_curve_can_do_without_an_axis(shape):
    one = given(shape=(5, 1))
    one.check(shape)
    if None not in shape:
        found = one.read(np.zeros(shape, "float32"))
        assert found.shape == (*shape[: len(shape) - (shape[-1] == 1)], 1)
    for other in ((4,), (2, 4), (2, 2, 5)):
        with pytest.raises(ValueError, match=r"table.shape=\(\d"):
            one.check(other)


def test_a_given_table_is_returned_as_it_is():
    assert given().read(TABLE) is TABLE
    with pytest.raises(ValueError, match=r"shape=\(4, 3\)$"):
        given().read(TABLE[1:])


def test_where_no_table_is_given_there_is_none():
    for ask in (lambda: given().read(None), lambda: given().weight):
        with pytest.raises(ValueError, match=r"none of its own.*'grade' with"):
            ask()


@pytest.mark.parametrize("name", ["regularizer", "constraint"])
def test_nothing_holds_for_a_table_from_elsewhere(name):
    with pytest.raises(ValueError, match=rf"a {name} would.*table_{name}='x'"):
        given(**{name: "x"}).read(TABLE)


def test_a_weight_is_read_unless_a_table_comes_along():
    weight = keras.Variable(TABLE + 1)
    source = OwnTable(weight, given())
    assert source.weight is weight
    found = keras.ops.convert_to_numpy(source.read(None))
    np.testing.assert_array_equal(found, TABLE + 1)
    assert source.read(TABLE) is TABLE
    with pytest.raises(ValueError, match=r"shape=\(4, 3\)$"):
        source.read(TABLE[1:])
