import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.replay import Numbers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)

INFINITE = float("inf")


@pytest.fixture
def sizes():
    return tracers.load("sizes")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    "values, expected",
    [
        ([1, -3, 2], Numbers(3.0)),
        ([0, 0], Numbers(0.0)),
        ([1, float("nan"), -2], Numbers(2.0, nan=True)),
        ([1, -INFINITE], Numbers(1.0, infinite=True)),
        ([float("nan"), INFINITE], Numbers(0.0, nan=True, infinite=True)),
        ([], Numbers(0.0)),
    ],
)
def test_floating_point_numbers(sizes, dtype, values, expected):
    array = keras.ops.convert_to_tensor(values, dtype)
    assert sizes.numbers_of(array) == expected
    size = expected.size if expected.finite else INFINITE
    assert sizes.size_of(array) == size


def test_other_numbers(sizes):
    numbers_of = sizes.numbers_of
    assert numbers_of(np.uint8([3, 200])) == Numbers(200.0)
    assert numbers_of(np.array([False, True])) == Numbers(1.0)
    assert numbers_of(np.array([False])) == Numbers(0.0)
    assert numbers_of(-4) == Numbers(4.0)
    assert numbers_of(np.complex64([3 + 4j])) == Numbers(5.0)


def test_keys_of_random_numbers_are_not_read(sizes):
    import jax

    assert sizes.numbers_of(jax.random.key(0)) == Numbers()
