import checks
import keras
import numpy as np
import pytest
import torture
from reference import perceived_distance as reference

from keras_perceptual import ColorDifferenceLoss

CONFIGS = [
    {},
    {"difference": "cie76", "blur": 4},
    {"difference": "oklab", "blur": 3},
    {"blur": "image"},
]


def label(config):
    return "-".join(str(value) for value in config.values()) or "default"


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture
def pair():
    images = torture.picture(12, 16)
    noise = np.random.default_rng(1).normal(0, 0.05, images.shape)
    return images, np.clip(images + noise, 0, 1).astype("float32")


@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_contract(config, pair):
    checks.check_loss_contract(ColorDifferenceLoss(**config), *pair)
    checks.check_image_conventions(
        lambda **k: ColorDifferenceLoss(**config, **k), *pair
    )


@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_no_input_gives_a_gradient_that_is_not_finite(config):
    loss = ColorDifferenceLoss(check_range="off", **config)
    torture.check_finite(loss, 8, 7, dtypes=("float32",))


def test_is_the_mean_of_the_squares(pair):
    loss = ColorDifferenceLoss("cie76", blur=4)
    expected = [reference.color(x, y) for x, y in zip(*pair, strict=True)]
    np.testing.assert_allclose(
        numpy(loss.per_image(*pair)), expected, rtol=1e-4
    )


def test_texture_does_not_count_in_squares(pair):
    """Where a drift of the colors counts as before."""
    photo, noisy = pair
    drift = np.clip(photo + np.float32([0.03, 0, -0.03]), 0, 1)
    pixels, squares = ColorDifferenceLoss(), ColorDifferenceLoss(blur=4)
    noise = float(squares(photo, noisy)) / float(pixels(photo, noisy))
    shift = float(squares(photo, drift)) / float(pixels(photo, drift))
    assert noise < 0.5
    assert shift > 0.8


@pytest.mark.parametrize("blur", [1, 4, "image"])
def test_hidden_pixels_are_of_no_account(pair, blur):
    true, pred = pair
    mask = np.ones(true.shape[:3], "float32")
    mask[:, :, 6:] = 0
    loss = ColorDifferenceLoss(blur=blur, check_range="off")
    other = pred.copy()
    other[:, :, 6:] = np.nan
    found = [numpy(loss.per_image((true, mask), x)) for x in (pred, other)]
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(
        numpy(loss.per_image((true, np.ones_like(mask)), pred)),
        numpy(loss.per_image(true, pred)),
        rtol=1e-4,
    )


@pytest.mark.parametrize("blur", [1, 4, "image"])
def test_the_map_has_the_loss_as_its_mean(pair, blur):
    loss = ColorDifferenceLoss(blur=blur)
    found = numpy(loss.spatial_map(*pair))
    assert found.shape == (2, 12, 16)
    np.testing.assert_allclose(
        found.mean((1, 2)), numpy(loss.per_image(*pair)), rtol=0.05
    )


def test_a_drift_of_the_whole_image_is_all_that_counts(pair):
    """Wherever the pixels of the one are in the other."""
    photo, _ = pair
    drift = np.clip(0.9 * photo + np.float32([0.03, 0, -0.03]), 0, 1)
    moved = drift[:, ::-1, ::-1]
    loss = ColorDifferenceLoss(blur="image")
    means = [x.mean((1, 2), keepdims=True) for x in (photo, drift)]
    np.testing.assert_allclose(
        numpy(loss.per_image(photo, moved)),
        numpy(ColorDifferenceLoss().per_image(*means)),
        rtol=1e-4,
    )
    mask = np.zeros(photo.shape[:3], "float32")
    assert not np.any(numpy(loss.per_image((photo, mask), moved)))


def test_what_cannot_be_compared_is_refused(pair):
    with pytest.raises(ValueError, match=r"Received: images of 12 x 16"):
        ColorDifferenceLoss(blur=13)(*pair)
    with pytest.raises(ValueError, match=r"Received: difference='lab'"):
        ColorDifferenceLoss("lab")
    for blur in (0, "all"):
        with pytest.raises(ValueError, match=rf"Received: blur={blur!r}"):
            ColorDifferenceLoss(blur=blur)


@pytest.mark.tensorflow_only
def test_in_double_precision(pair):
    exact = ColorDifferenceLoss(dtype="float64")
    found = exact.per_image(*(np.float64(x) for x in pair))
    assert keras.backend.standardize_dtype(found.dtype) == exact.dtype
    np.testing.assert_allclose(
        numpy(found), numpy(ColorDifferenceLoss().per_image(*pair)), rtol=1e-4
    )


def test_defaults_are_the_documented_ones():
    checks.check_defaults(ColorDifferenceLoss)


def test_what_a_mask_hides_may_hold_anything(rng):
    true, pred = rng.uniform(0, 1, (2, 2, 8, 8, 3)).astype("float32")
    checks.check_hidden(ColorDifferenceLoss(), true, pred)
