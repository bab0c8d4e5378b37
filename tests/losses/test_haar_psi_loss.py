import checks
import keras
import numpy as np
import pytest
import torture
from distortions import distorted
from reference import similarities
from sampling import once

from keras_perceptual import HaarPSILoss

CONFIGS = [{}, {"c": 10.0, "alpha": 6.0, "subsample": False}]


@pytest.fixture
def pair(rng):
    return rng.uniform(0, 1, (2, 2, 20, 23, 3)).astype("float32")


@pytest.mark.parametrize("config", once(CONFIGS), ids=str)
def test_contract(config, pair):
    checks.check_loss_contract(HaarPSILoss(**config), *pair)


@pytest.mark.once
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_same_picture_in_every_range_and_layout(config, pair):
    checks.check_image_conventions(
        lambda **arguments: HaarPSILoss(**config, **arguments), *pair
    )


@pytest.mark.parametrize("channels", once([3, 1]))
def test_no_input_gives_a_gradient_that_is_not_finite(channels):
    """Not black images either, for which piq has none."""
    loss = HaarPSILoss(check_range="off")
    torture.check_finite(loss, 17, 16, channels, dtypes=("float32",))


@pytest.mark.once
def test_has_the_numbers_of_piq_in_every_range():
    loss = HaarPSILoss(value_range=(-1, 1))
    for true, pred, known in similarities.pairs("astronaut_64x64"):
        found = float(loss(2 * true - 1, 2 * pred - 1))
        np.testing.assert_allclose(found, 1 - known["haarpsi"], atol=1e-5)


def test_a_mask_of_a_part_gives_the_loss_of_that_part(pair):
    """Hidden pixels are as black as what lies beyond the border."""
    true, pred = pair
    mask = np.zeros(true.shape[:3], "float32")
    mask[:, :18, :16] = 1
    loss = HaarPSILoss()
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(loss.per_image((true, mask), pred)),
        checks.image_values(loss, true[:, :18, :16], pred[:, :18, :16]),
        rtol=1e-5,
    )


@pytest.mark.once
def test_grows_with_every_distortion():
    loss = HaarPSILoss()
    for kind in ("blur", "noise", "jpeg"):
        photo, worse = distorted(kind, 64)
        values = [float(loss(photo, x)) for x in (photo, *worse)]
        assert values == sorted(values)


def test_what_cannot_be_compared_is_refused(pair):
    with pytest.raises(ValueError, match=r"at least 16 pixels.*Received: "):
        HaarPSILoss()(pair[0][:, :15], pair[1][:, :15])
    with pytest.raises(ValueError, match="with 1 or 3 channels"):
        HaarPSILoss()(pair[0][..., :2], pair[1][..., :2])
    for config in ({"c": 0}, {"alpha": -1}, {"alpha": 51}, {"subsample": 2}):
        ((name, value),) = config.items()
        with pytest.raises(ValueError, match=rf"Received: {name}={value}"):
            HaarPSILoss(**config)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(HaarPSILoss)


def slopes(loss, true, pred):
    """Returns the gradient along three directions."""
    (gradient,) = checks.gradients(lambda x: loss(true, x), pred)
    directions = np.random.default_rng(0).uniform(-1, 1, (3, *true.shape))
    return (directions * gradient).sum((1, 2, 3, 4))


def test_equal_parts_have_the_same_slope_on_every_backend():
    """Where the slope of a maximum is anybody's."""
    images = torture.picture(24, 20)
    true, pred = images[:1], images[1:]
    images[:, :12] = 0.7
    pred[:, :, 10:] = true[:, :, 10:]
    expected = [0.021885, -0.069462, 0.117878]
    found = slopes(HaarPSILoss(), true, pred)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.once
def test_what_is_rounding_does_not_turn_the_slope(rng):
    """Flat parts, of which a coefficient has no sign."""
    true, pred = np.split(torture.picture(24, 20), 2)
    true[:, :12] = pred[:, :12] = 1
    noise = rng.uniform(0, 1e-7, true.shape).astype("float32")
    noise[:, 12:] = 0
    loss = HaarPSILoss(check_range="off")
    np.testing.assert_allclose(
        slopes(loss, true, pred - noise),
        slopes(loss, true, pred),
        rtol=1e-3,
    )
