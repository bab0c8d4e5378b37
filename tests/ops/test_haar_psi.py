import checks
import keras
import numpy as np
import pytest
from reference import haar_psi as reference
from reference import similarities
from sampling import once

from keras_perceptual.ops.haar_psi import haar_psi_distance, haar_psi_map

NAMES = ["astronaut_64x64", "rocket_75x101"]


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def distance(x, y, **config):
    tensors = map(keras.ops.convert_to_tensor, (x, y))
    return float(haar_psi_distance(*tensors, **config)[0])


@pytest.mark.parametrize("name", once(NAMES))
def test_has_the_numbers_of_piq(name):
    """In color and gray, halved and not, of sides that are odd as well."""
    for true, pred, known in similarities.pairs(name):
        gray = true[..., :1], pred[..., :1]
        for found, expected in (
            (distance(true, pred), known["haarpsi"]),
            (distance(*gray), known["haarpsi_gray"]),
            (distance(true, pred, subsample=False), known["haarpsi_whole"]),
        ):
            np.testing.assert_allclose(found, 1 - expected, atol=1e-6)


@pytest.mark.once
def test_is_what_the_authors_define():
    """To how they round the colors, which is all that differs."""
    config = {"c": 20.0, "alpha": 5.0}
    for true, pred, _ in similarities.pairs("rocket_75x101"):
        found = distance(true, pred, **config)
        expected = 1 - reference.haar_psi(
            true[0], pred[0], reference.YIQ_OF_PIQ, **config
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_allclose(
            distance(true, pred),
            1 - reference.haar_psi(true[0], pred[0]),
            atol=3e-4,
        )


@pytest.mark.once
def test_keeps_its_digits_where_images_are_almost_equal(rng):
    """Where one minus a rounded similarity is a multiple of 6e-8."""
    x = rng.uniform(0.2, 0.8, size=(1, 32, 32, 3))
    y = x + rng.normal(0, 1e-3, size=x.shape)
    x, y = x.astype("float32"), y.astype("float32")
    expected = 1 - reference.haar_psi(x[0], y[0], reference.YIQ_OF_PIQ)
    assert 0 < expected < 1e-3
    np.testing.assert_allclose(distance(x, y), expected, rtol=1e-3)


@pytest.mark.parametrize("subsample", [True, False])
def test_the_mean_of_the_map_is_the_distance(subsample, rng):
    x, y = rng.uniform(size=(2, 1, 22, 19, 3)).astype("float32")
    for other in (y, x, x + np.float32(1e-5)):
        tensors = map(keras.ops.convert_to_tensor, (x, other))
        shown = numpy(haar_psi_map(*tensors, subsample=subsample))
        assert shown.shape == ((1, 11, 10) if subsample else (1, 22, 19))
        np.testing.assert_allclose(
            shown.mean(), distance(x, other, subsample=subsample), rtol=1e-4
        )


@pytest.mark.slow
def test_slopes_agree_with_differences(rng):
    x, y = rng.uniform(size=(2, 1, 18, 16, 3)).astype("float32")
    x = keras.ops.convert_to_tensor(x)
    checks.check_finite_differences(
        lambda y: keras.ops.sum(haar_psi_distance(x, y)), y, step=2e-3
    )
