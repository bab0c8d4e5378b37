import checks
import keras
import numpy as np
import pytest
import torture
from distortions import astronaut, distorted
from reference import pixel_losses as reference
from sampling import sample

from keras_perceptual.losses import TotalVariationLoss

# From the NumPy twin, of the pictures.
GOLDEN = {
    "l1": [0.1051728, 0.1063363],
    "l2": [0.008844307, 0.008820158],
    "isotropic": [0.07975789, 0.08392402],
}
NORMS = list(GOLDEN)


@pytest.fixture
def pair(rng):
    shape = (3, 9, 12, 3)
    return (
        rng.uniform(0, 1, shape).astype("float32"),
        rng.uniform(0, 1, shape).astype("float32"),
    )


@pytest.mark.parametrize("norm", NORMS)
def test_equals_the_numpy_twin(pair, norm):
    found = checks.image_values(TotalVariationLoss(norm, epsilon=0.1), *pair)
    expected = reference.total_variation(pair[1], norm, epsilon=0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_golden_values(norm):
    image = torture.picture(16, 24)
    found = checks.image_values(TotalVariationLoss(norm), image, image)
    np.testing.assert_allclose(found, GOLDEN[norm], rtol=1e-5)


@pytest.mark.tensorflow_only
def test_equals_tensorflow_times_the_number_of_values():
    import tensorflow as tf

    photo = astronaut()
    np.testing.assert_allclose(
        TotalVariationLoss()(photo, photo) * photo.size,
        tf.image.total_variation(tf.constant(photo))[0],
        rtol=1e-6,
    )


@pytest.mark.parametrize("norm", NORMS)
def test_targets_do_not_matter(pair, norm):
    y_true, y_pred = pair
    loss = TotalVariationLoss(norm)
    assert float(loss(y_true, y_pred)) == float(loss(y_pred, y_pred))


@pytest.mark.parametrize("norm", NORMS)
def test_the_size_of_the_image_does_not_matter(rng, norm):
    tile = rng.uniform(0, 1, (1, 8, 8, 1)).astype("float32")
    small, large = (np.tile(tile, (1, n, n, 1)) for n in (8, 32))
    loss = TotalVariationLoss(norm)
    np.testing.assert_allclose(
        float(loss(large, large)), float(loss(small, small)), rtol=2e-2
    )


@pytest.mark.parametrize("norm", NORMS)
def test_finite_differences(rng, norm):
    x = rng.permutation(2 * 6 * 5 * 2).reshape(2, 6, 5, 2).astype("float32")
    y_true = keras.ops.zeros(x.shape)
    loss = TotalVariationLoss(norm, value_range=(0, 120), epsilon=0.1)
    checks.check_finite_differences(
        lambda x: loss.call(y_true, x)[0], x, step=0.2
    )


@pytest.mark.parametrize("norm", sample(list(NORMS)))
def test_nothing_that_is_not_finite(norm):
    torture.check_finite(TotalVariationLoss(norm, check_range="off"), 8, 8)


@pytest.mark.parametrize("norm", NORMS)
def test_any_range_and_layout(pair, norm):
    checks.check_image_conventions(
        lambda **arguments: TotalVariationLoss(norm, **arguments), *pair
    )


@pytest.mark.parametrize("norm", NORMS)
def test_a_value_and_a_gradient_for_each_image(pair, norm):
    loss = TotalVariationLoss(norm)
    values = checks.image_values(loss, *pair)
    assert values.shape == (3,)
    assert np.all(values > 0)
    np.testing.assert_allclose(float(loss(*pair)), values.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        checks.image_values(loss, *(x[1:2] for x in pair)),
        values[1:2],
        rtol=1e-5,
    )
    weighted = float(loss(*pair, np.array([0, 2, 0], "float32")))
    np.testing.assert_allclose(weighted, 2 * values[1] / 3, rtol=1e-5)
    (gradient,) = checks.gradients(lambda x: loss(pair[0], x), pair[1])
    assert np.all(np.isfinite(gradient))
    assert all(np.any(g != 0) for g in gradient)


@pytest.mark.parametrize("norm", NORMS)
def test_a_constant_image_is_left_alone(norm):
    flat = np.full((2, 5, 5, 3), 0.3, "float32")
    loss = TotalVariationLoss(norm)
    assert float(loss(flat, flat)) == 0
    (gradient,) = checks.gradients(lambda x: loss(flat, x), flat)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("norm", NORMS)
def test_falls_with_blur_and_grows_with_noise(norm):
    loss = TotalVariationLoss(norm)
    for distortion, sign in (("blur", -1), ("noise", 1)):
        photo, worse = distorted(distortion)
        found = [float(loss(photo, x)) for x in (photo, *worse)]
        assert np.all(np.diff(found) * sign > 0)


def test_gradient_descent_takes_the_noise_out():
    """Single pixels go before the edges of the photograph do."""
    photo, (*_, strong, _) = distorted("noise", 64)
    loss = TotalVariationLoss("isotropic", epsilon=0.05)
    x = strong
    for _ in range(10):
        (gradient,) = checks.gradients(lambda x: loss(x, x), x)
        x = x - 0.01 * x.size * gradient
    assert np.mean((x - photo) ** 2) < 0.6 * np.mean((strong - photo) ** 2)


def test_config_keeps_every_argument():
    arguments = {
        "norm": "isotropic",
        "epsilon": 0.25,
        "value_range": [-1.0, 1.0],
        "check_range": "clip",
        "data_format": "channels_first",
        "reduction": "sum",
        "name": "smooth",
        "dtype": "float64",
    }
    revived = checks.check_config(TotalVariationLoss(**arguments))
    assert revived.get_config() == arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "l3"}, r"`norm`.*'isotropic'.*Received: norm='l3'"),
        ({"epsilon": 0}, r"`epsilon`.*above 0. Received: epsilon=0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TotalVariationLoss(**arguments)


def test_shapes_are_checked_although_targets_do_not_matter(pair):
    with pytest.raises(ValueError, match=r"same shape.*Received: y_true.shape"):
        TotalVariationLoss()(pair[0][:, :-1], pair[1])


def test_defaults_are_the_documented_ones():
    checks.check_defaults(TotalVariationLoss)


def test_what_a_mask_hides_may_hold_anything(rng):
    true, pred = rng.uniform(0, 1, (2, 2, 8, 8, 3)).astype("float32")
    checks.check_hidden(TotalVariationLoss(), true, pred)
