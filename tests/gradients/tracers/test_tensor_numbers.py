import numpy as np
import pytest

from keras_perceptual.gradients.replay import Numbers, Operation

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def tensor_numbers():
    from keras_perceptual.gradients.tracers.tensorflow import tensor_numbers

    return tensor_numbers


@pytest.mark.parametrize(
    "values, expected",
    [
        ([3.0, -4.0], Numbers(4.0)),
        ([], Numbers(0.0)),
        ([0.0, np.nan, -2.0], Numbers(2.0, nan=True)),
        ([-np.inf, 1.0], Numbers(1.0, infinite=True)),
        ([np.nan, np.inf], Numbers(0.0, nan=True, infinite=True)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_numbers_of_floats(tensor_numbers, values, expected, dtype):
    import tensorflow as tf

    tensor = tf.cast(tf.constant(values, "float32"), dtype)
    assert tensor_numbers.read_numbers(tensor) == expected


def test_numbers_of_other_types(tensor_numbers):
    import tensorflow as tf

    read = tensor_numbers.read_numbers
    assert read(tf.constant([tf.int32.min, 3])).size == 2.0**31
    assert read(tf.constant([3 + 4j])).size == 5
    assert not tensor_numbers.has_numbers(tf.constant("text"))


@pytest.mark.parametrize(
    ("dtype", "has_numbers", "is_differentiable"),
    [
        ("float16", True, True),
        ("complex64", True, True),
        ("int32", True, False),
        ("string", False, False),
    ],
)
def test_kinds_of_tensors(
    tensor_numbers, dtype, has_numbers, is_differentiable
):
    import tensorflow as tf

    tensor = tf.zeros((), dtype)
    assert tensor_numbers.has_numbers(tensor) is has_numbers
    assert tensor_numbers.is_differentiable(tensor) is is_differentiable


def test_gradients_of_tables_are_not_made_dense(tensor_numbers):
    import tensorflow as tf

    values = tf.constant([[2.0]])
    slices = tf.IndexedSlices(values, tf.constant([7]), tf.constant([10**9, 1]))
    assert tensor_numbers.stored(slices) is values
    assert tensor_numbers.stored(values) is values


def test_each_tensor_is_read_once_and_when_asked(tensor_numbers):
    class Tensor:
        reads = 0

        def numpy(self):
            self.reads += 1
            return np.array([5.0])

    tensor = Tensor()
    numbers = tensor_numbers.TensorNumbers({"a": tensor})
    numbers.know("b")
    assert "a" in numbers
    assert set(numbers) == {"a", "b"}
    assert len(numbers) == 2
    assert tensor.reads == 0
    assert numbers["a"] == numbers["a"] == Numbers(5.0)
    assert tensor.reads == 1
    assert numbers["b"] == Numbers()
    assert "c" not in numbers
    with pytest.raises(KeyError):
        numbers["c"]


def test_contributions(tensor_numbers):
    import tensorflow as tf

    values = {
        "x": tf.constant([2.0, 3.0]),
        "y": tf.constant([4.0, -5.0]),
        "small": tf.constant(1.0),
    }
    gradients = {"out": tf.constant([10.0, 1.0])}
    operations = {
        kind: Operation(kind, ("x", "y"), ("out",))
        for kind in ("Mul", "RealDiv", "Sub", "Maximum")
    }
    summed = Operation("AddV2", ("x", "small"), ("out",))
    unseen = Operation("AddV2", ("x", "y"), ("elsewhere",))
    found = tensor_numbers.Contributions(
        [*operations.values(), summed, unseen], values, gradients
    )
    assert dict(found) == {
        (operations["Mul"], 0): 40.0,
        (operations["Mul"], 1): 20.0,
        (operations["RealDiv"], 0): 2.5,
        (operations["Sub"], 0): 10.0,
        (operations["Sub"], 1): 10.0,
        (summed, 0): 10.0,
        # It is added up for what was broadcast.
        (summed, 1): 11.0,
    }
    assert (unseen, 0) not in found
    # Of the parts that are known, whether they were read or not.
    assert len(found) == len(list(found)) >= 6
