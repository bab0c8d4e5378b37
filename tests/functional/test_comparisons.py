import inspect

import checks
import keras
import numpy as np
import pytest
from sampling import once

import keras_perceptual as kp

BACKEND = keras.backend.backend()

# Each function with its class, and settings that are not the defaults.
FUNCTIONS = {
    "charbonnier_loss": (kp.CharbonnierLoss, {"epsilon": 0.02}),
    "color_difference": (
        kp.ColorDifferenceLoss,
        {"difference": "oklab", "blur": 3},
    ),
    "contextual_loss": (
        kp.ContextualLoss,
        {"backbone": "alexnet", "layers": {"relu1": 0.5}, "max_features": 20},
    ),
    "dists": (kp.DISTS, {"weights": "random", "resize": 24}),
    "focal_frequency_loss": (kp.FocalFrequencyLoss, {"alpha": 0.5}),
    "haar_psi": (kp.HaarPSILoss, {"c": 20.0, "subsample": False}),
    "lpips": (kp.LPIPS, {"weights": "random", "linear_heads": False}),
    "mdsi": (kp.MDSILoss, {"c1": 100.0, "alpha": 0.4}),
    "ms_ssim": (kp.MSSSIMLoss, {"weights": (0.4, 0.6), "filter_size": 5}),
    "perceived_distance": (
        kp.PerceivedDistance,
        {"weights": "random", "size": "small", "forgive_gain": False},
    ),
    "perceptual_loss": (
        kp.PerceptualLoss,
        {
            "backbone": "alexnet",
            "layers": ["relu1"],
            "style_weight": 2.0,
            "distance": "lost",
            "added_weight": 0.3,
        },
    ),
    "sobel_gradient_loss": (
        kp.SobelGradientLoss,
        {"norm": "l2", "operator": "scharr", "scales": 2},
    ),
    "ssim": (kp.SSIMLoss, {"filter_size": 5, "k1": 0.1}),
    "total_variation": (kp.TotalVariationLoss, {"norm": "isotropic"}),
    "wavelet_loss": (
        kp.WaveletLoss,
        {"wavelet": "db2", "levels": 2, "luma": False, "detail_weight": 2.0},
    ),
}
SIMILARITIES = ("haar_psi", "ms_ssim", "ssim")
# What only a loss needs.
OF_LOSSES = {"check_range", "reduction", "name"}
# Where a place has a meaning.
MASKED = tuple(sorted(set(FUNCTIONS) - {"contextual_loss"}))
NETWORKS = ("contextual_loss", "dists", "lpips", "perceptual_loss")
# Those without a network suffice on other backends.
QUICK_FIRST = once(
    sorted(FUNCTIONS, key=NETWORKS.__contains__), but=-len(NETWORKS)
)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def call(name, y_true, y_pred, **settings):
    function = getattr(kp.functional, name)
    if name == "total_variation":
        return function(y_pred, **settings)
    return function(y_true, y_pred, **settings)


@pytest.fixture
def pair(rng):
    return rng.uniform(size=(2, 2, 40, 36, 3)).astype("float32")


def test_no_function_is_left_out():
    public = {n for n in vars(kp.functional) if not n.startswith("_")}
    assert public - {"comparisons", "kept_losses"} == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_has_the_arguments_and_defaults_of_the_class(name):
    expected = {
        n: p.default
        for n, p in inspect.signature(FUNCTIONS[name][0]).parameters.items()
        if n not in OF_LOSSES
    }
    signature = inspect.signature(getattr(kp.functional, name))
    found = {n: p.default for n, p in signature.parameters.items()}
    images = {"y_true", "y_pred", "images", "mask"}
    assert {n: d for n, d in found.items() if n not in images} == expected
    assert ("mask" in found) == (name in MASKED)


@pytest.mark.parametrize("name", QUICK_FIRST)
def test_value_and_gradient_are_those_of_the_loss(name, pair):
    cls, settings = FUNCTIONS[name]
    loss = cls(**settings)
    sign = -1 if name in SIMILARITIES else 1
    expected = numpy(loss.per_image(*pair))
    found = numpy(call(name, *pair, **settings))
    assert found.shape == (2,)
    offset = 1 if name in SIMILARITIES else 0
    np.testing.assert_array_equal(found, np.float32(offset) + sign * expected)
    (expected,) = checks.gradients(
        lambda x: keras.ops.sum(loss.per_image(pair[0], x)), pair[1]
    )
    (found,) = checks.gradients(
        lambda x: keras.ops.sum(call(name, pair[0], x, **settings)), pair[1]
    )
    np.testing.assert_allclose(found, sign * expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", MASKED)
def test_masks(name, pair):
    cls, settings = FUNCTIONS[name]
    mask = np.zeros((2, 40, 36), "float32")
    mask[:, :20] = 1
    expected = numpy(cls(**settings).per_image((pair[0], mask), pair[1]))
    found = numpy(call(name, *pair, mask=mask, **settings))
    if name in SIMILARITIES:
        expected = 1 - expected
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(found, numpy(call(name, *pair, **settings)))
    with pytest.raises(ValueError, match=r"Received: mask\.shape="):
        call(name, *pair, mask=mask[:, :7], **settings)
    if cls(**settings)._distance.hides_pixels:
        pair[:, :, 20:] = np.nan
        hidden = numpy(call(name, *pair, mask=mask, **settings))
        np.testing.assert_array_equal(hidden, found)


def test_images_of_any_type_and_range(pair):
    whole = np.round(255 * pair).astype("uint8")
    np.testing.assert_allclose(
        numpy(kp.functional.ssim(*whole, value_range=(0, 255))),
        numpy(kp.functional.ssim(*(whole / 255))),
        rtol=1e-5,
    )


def test_channels_first(pair):
    turned = np.moveaxis(pair, -1, 2)
    np.testing.assert_allclose(
        numpy(
            kp.functional.sobel_gradient_loss(
                *turned, data_format="channels_first"
            )
        ),
        numpy(kp.functional.sobel_gradient_loss(*pair)),
        rtol=1e-5,
    )


@pytest.mark.filterwarnings("ignore:TotalVariationLoss takes images")
def test_what_is_not_given_is_that_of_keras_at_each_call(pair):
    last = numpy(kp.functional.total_variation(pair[0]))
    keras.config.set_image_data_format("channels_first")
    first = numpy(kp.functional.total_variation(pair[0]))
    assert not np.allclose(first, last)


def test_what_is_refused_is_refused_as_by_the_class(pair):
    with pytest.raises(ValueError, match="Did you mean 'alexnet'"):
        kp.functional.lpips(*pair, "alexnett")
    with pytest.raises(ValueError, match="does not stretch"):
        kp.functional.ssim(pair[0], pair[1][:, :30])
