import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def module():
    return tracers.load("record")


@pytest.fixture
def record(module):
    return module.Record()


@pytest.fixture
def where(module):
    return module.Where(scope=("layer",), frames=("frame",))


def hold(record, variable, array=1.0):
    key = record.add_value(np.float32(array))
    record.hold(key, variable)
    return key


def test_what_is_written_down(record, where):
    x, w = record.add_value(np.float32(2)), hold(record, "w", 3.0)
    operation = record.add("op", [x, w], 2, where, varies=True)
    replay = record.finish()
    assert replay.operations == (operation,)
    assert operation.inputs == (x, w)
    assert operation.scope == ("layer",)
    assert operation.frames == ("frame",)
    assert operation.varies and not operation.conditional
    assert len({x, w, *operation.outputs}) == 4
    assert replay.holders == {w: "w"}
    assert replay.values[w].size == 3


def test_which_variables_a_value_depends_on(record, where):
    v, w = hold(record, "v"), hold(record, "w")
    x = record.add_value(np.float32(2))
    (y,) = record.add("op", [x, w], 1, where).outputs
    (z,) = record.add("op", [y, v], 1, where).outputs
    found = [record.variables(record.roots(key)) for key in (x, y, z)]
    assert found == [[], ["w"], ["v", "w"]]


def test_constants_are_known_by_their_arrays(record, where):
    known, changing, other = np.ones(1), np.ones(1), np.ones(1)
    key = hold(record, "stranger")
    record.know(known, key)
    record.know_changing(changing)
    assert record.constant(known, where) == key
    keys = [record.constant(array, where) for array in (changing, other)]
    assert record.constant(other, where) == keys[1]
    assert record.finish().changeable == {keys[0]}
    assert record.length == 0


def test_what_is_stored_in_a_variable_is_no_argument(record, where):
    """It has the value of the variable, and no gradient gets there."""
    stored = np.float32([1, 2])
    key = hold(record, "w", stored)
    record.know_stored(stored, key)
    found = record.constant(stored, where)
    assert record.constant(stored, where) == found
    (operation,) = record.finish().operations
    assert operation.kind == "stored_value"
    assert (operation.inputs, operation.outputs) == ((key,), (found,))
    assert not operation.differentiable
    assert record.variables(record.roots(found)) == ["w"]
    np.testing.assert_array_equal(record.tape.read(found), stored)
    end = record.tape.position()
    assert set(record.tape.gradients(0, end, {found: stored}).numbers) == {
        found
    }


def test_what_a_function_closes_over(module, record, where):
    v, w = hold(record, "v"), hold(record, "w")
    x = record.add_value(np.float32(2))
    inner = hold(record, "w")
    region = module.Region(0, inner, asked=record.roots(w))
    record.region = region
    inputs = [v, w, x, inner, w]
    operation = record.add("op", inputs, 1, where)
    cut, same = record.finish().operations
    assert same is operation
    assert (cut.kind, cut.inputs) == ("closed_over", (w,))
    # Neither what is not asked by nor what comes from inside is a constant.
    (outside,) = cut.outputs
    assert operation.inputs == (v, outside, x, inner, outside)
    record.region = None
    assert record.add("op", [w], 1, where).inputs == (w,)


def test_literals(record):
    import jax

    (equation,) = jax.make_jaxpr(lambda x: x + 1)(np.float32(1)).jaxpr.eqns
    (literal,) = [a for a in equation.invars if hasattr(a, "val")]
    key = record.literal(literal)
    assert record.literal(literal) == key
    assert record.tape.read(key).dtype == "float32"
