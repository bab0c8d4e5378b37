import keras
import numpy as np
import pytest

from keras_perceptual import _backend


def fibonacci(count):
    """Returns two neighbouring numbers, and the sum of the indices."""
    loops = _backend.load("loops")

    def turn(index, state):
        (x, y), total = state
        return (y, x + y), total + keras.ops.cast(index, "float32")

    one = keras.ops.ones(())
    return loops.fold(turn, count, ((one, one), keras.ops.zeros(())))


@pytest.mark.parametrize("count", [0, 1, 10])
def test_one_turn_after_the_other(count):
    expected = [1, 1]
    for _ in range(count):
        expected = [expected[1], sum(expected)]
    (x, y), total = fibonacci(count)
    assert [float(x), float(y)] == expected
    assert float(total) == sum(range(count))


@pytest.mark.tensorflow_only
def test_a_number_of_turns_that_is_not_known_while_tracing():
    import tensorflow as tf

    traced = tf.function(
        lambda n: fibonacci(n)[0][0],
        input_signature=[tf.TensorSpec((), "int32")],
    )
    np.testing.assert_array_equal(
        [traced(n) for n in range(5)], [1, 1, 2, 3, 5]
    )
