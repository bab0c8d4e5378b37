import keras
import numpy as np
import pytest
from function_checks import (
    check_arguments,
    check_mask,
    check_value_and_gradient,
    functions_of,
    numpy,
)

import keras_perceptual as kp
from keras_perceptual.functional import pixel_comparisons

# Each function with its class, and settings that are not the defaults.
FUNCTIONS = {
    "charbonnier_loss": (kp.CharbonnierLoss, {"epsilon": 0.02}),
    "color_difference": (
        kp.ColorDifferenceLoss,
        {"difference": "oklab", "blur": 3},
    ),
    "focal_frequency_loss": (kp.FocalFrequencyLoss, {"alpha": 0.5}),
    "haar_psi": (kp.HaarPSILoss, {"c": 20.0, "subsample": False}),
    "mdsi": (kp.MDSILoss, {"c1": 100.0, "alpha": 0.4}),
    "ms_ssim": (kp.MSSSIMLoss, {"weights": (0.4, 0.6), "filter_size": 5}),
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


@pytest.fixture
def pair(rng):
    return rng.uniform(size=(2, 2, 40, 36, 3)).astype("float32")


def test_no_function_is_left_out():
    assert functions_of(pixel_comparisons) == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_has_the_arguments_and_defaults_of_the_class(name):
    check_arguments(name, FUNCTIONS[name][0], masked=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_gradient_are_those_of_the_loss(name, pair):
    check_value_and_gradient(name, *FUNCTIONS[name], pair)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_masks(name, pair):
    check_mask(name, *FUNCTIONS[name], pair)


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
    with pytest.raises(ValueError, match="does not stretch"):
        kp.functional.ssim(pair[0], pair[1][:, :30])
