import checks
import keras
import numpy as np
import pytest
from reference import mdsi as reference
from reference import similarities
from sampling import once

from keras_perceptual.ops.mdsi import mdsi_distance

BACKEND = keras.backend.backend()
NAMES = ["astronaut_64x64", "rocket_75x101"]


def distance(x, y, **config):
    tensors = map(keras.ops.convert_to_tensor, (x, y))
    return float(mdsi_distance(*tensors, **config)[0])


@pytest.mark.parametrize("name", once(NAMES))
def test_has_the_numbers_of_piq(name):
    for true, pred, known in similarities.pairs(name):
        np.testing.assert_allclose(
            distance(true, pred), known["mdsi"], atol=1e-6
        )


@pytest.mark.once
def test_is_what_the_paper_defines(rng):
    """Also where similarities are negative, and their roots complex."""
    x, y = rng.uniform(size=(2, 1, 24, 21, 3)).astype("float32")
    y[:, :12] = 1 - x[:, :12]
    config = {"c1": 20.0, "c2": 4.0, "c3": 50.0, "alpha": 0.9}
    for pair in ((x, y), (y, x)):
        np.testing.assert_allclose(
            distance(*pair, **config),
            reference.mdsi(pair[0][0], pair[1][0], **config),
            atol=1e-6,
        )


@pytest.mark.once
def test_keeps_its_digits_where_images_are_almost_equal(rng):
    """A thousandth of noise, of which piq sees the rounding alone."""
    x = rng.uniform(0.2, 0.8, size=(1, 32, 32, 3))
    y = x + rng.normal(0, 3e-4, size=x.shape)
    x, y = x.astype("float32"), y.astype("float32")
    expected = reference.mdsi(x[0], y[0])
    assert 0.01 < expected < 0.06
    np.testing.assert_allclose(distance(x, y), expected, rtol=1e-3)


@pytest.mark.once
def test_large_images_are_reduced(rng):
    """To means of squares, the first of which reaches beyond the border."""
    x, y = rng.uniform(size=(2, 1, 641, 700, 3)).astype("float32")
    # Means of three by three pixels, around every third.
    small = [
        np.pad(z, ((0, 0), (1, 1), (1, 1), (0, 0)))[:, :642, :702]
        .reshape(1, 214, 3, 234, 3, 3)
        .mean((2, 4))
        for z in (x, y)
    ]
    np.testing.assert_allclose(
        distance(x, y), reference.mdsi(small[0][0], small[1][0]), atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_large_images_of_unknown_size_are_reduced_alike(rng):
    import tensorflow as tf

    traced = tf.function(
        mdsi_distance, input_signature=2 * [tf.TensorSpec((1, None, None, 3))]
    )
    for size in ((390, 401), (20, 30)):
        x, y = rng.uniform(size=(2, 1, *size, 3)).astype("float32")
        np.testing.assert_allclose(traced(x, y), [distance(x, y)], rtol=1e-5)


def test_slopes_agree_with_differences(rng):
    x, y = rng.uniform(size=(2, 1, 10, 12, 3)).astype("float32")
    x = keras.ops.convert_to_tensor(x)
    checks.check_finite_differences(
        lambda y: keras.ops.sum(mdsi_distance(x, y)), y, step=1e-3
    )
