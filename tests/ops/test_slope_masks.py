import keras
import numpy as np
import pytest
from reference import image_gradients as reference

from keras_perceptual.ops.slope_masks import (
    center_mask,
    downsample_mask,
    mask_slopes,
)

OPERATORS = [
    "sobel",
    "scharr",
    "prewitt",
    "central",
    "forward",
    "laplacian",
    "laplacian_pyramid",
]


def dependent(operator, padding, size):
    """Returns which slopes depend on which pixel, found by trying."""
    height, width = size
    basis = np.eye(height * width).reshape(-1, height, width, 1)
    found = reference.slopes(basis, operator, padding)
    return np.abs(found[:, :, :, 0]) > 1e-12


@pytest.mark.parametrize("padding", ["reflect", "replicate", "valid"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_slope_has_the_least_weight_of_what_it_depends_on(
    rng, operator, padding
):
    if (operator, padding) == ("laplacian_pyramid", "valid"):
        pytest.skip("there is no such loss")
    size = (9, 10)
    mask = rng.uniform(0.1, 1, (1, *size)).astype("float32")
    found = mask_slopes(keras.ops.convert_to_tensor(mask), operator, padding)
    found = np.stack([keras.ops.convert_to_numpy(x)[0] for x in found], -1)
    depends = dependent(operator, padding, size)
    weights = np.where(depends, mask.reshape(-1, 1, 1, 1), np.inf)
    expected = weights.min(axis=0)
    # With an empty slope, whatever the weight, nothing is added.
    if operator == "laplacian_pyramid":
        # A square around each pixel covers what it depends on, or more.
        assert np.all(found <= expected)
        inside = found[4:5, 4:5], expected[4:5, 4:5]
        np.testing.assert_array_equal(*inside)
    else:
        some = np.isfinite(expected)
        np.testing.assert_array_equal(found[some], expected[some])
    assert np.all(found > 0)


@pytest.mark.parametrize(
    ("operator", "rows", "columns"),
    [
        ("sobel", slice(1, -1), slice(1, -1)),
        ("laplacian", slice(1, -1), slice(1, -1)),
        ("forward", slice(0, -1), slice(0, -1)),
    ],
)
def test_pixels_that_have_slopes(rng, operator, rows, columns):
    mask = rng.uniform(size=(2, 5, 6)).astype("float32")
    found = center_mask(mask, operator, "valid")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(found), mask[:, rows, columns]
    )
    assert center_mask(mask, operator, "reflect") is mask


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
@pytest.mark.parametrize("downsampling", ["average", "stride", "gaussian"])
def test_a_smaller_mask_hides_what_hidden_pixels_are_part_of(
    rng, downsampling, size
):
    mask = rng.uniform(0.1, 1, (1, *size)).astype("float32")
    basis = np.eye(mask.size).reshape(-1, *size, 1)
    depends = reference.shrink(basis, downsampling, "reflect")[..., 0] > 0
    weights = np.where(depends, mask.reshape(-1, 1, 1), np.inf)
    found = downsample_mask(keras.ops.convert_to_tensor(mask), downsampling)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(found)[0], weights.min(axis=0)
    )
