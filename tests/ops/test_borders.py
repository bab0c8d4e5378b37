import keras
import numpy as np
import pytest

from keras_perceptual.ops.borders import along, crop, pad_axes, spatial_axes


@pytest.mark.parametrize(
    ("padding", "mode"), [("reflect", "reflect"), ("replicate", "edge")]
)
@pytest.mark.parametrize("reach", [(1, 1), (0, 1), (2, 2), (1, 3)])
def test_pads_as_numpy_does(rng, padding, mode, reach):
    x = rng.uniform(size=(2, 4, 5, 3)).astype("float32")
    found = pad_axes(x, *reach, padding, (1, 2))
    expected = np.pad(x, ((0, 0), reach, reach, (0, 0)), mode)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), expected)


def test_valid_pads_nothing():
    x = np.ones((1, 2, 2, 1), "float32")
    assert pad_axes(x, 1, 1, "valid", (1, 2)) is x


def test_crop_and_along():
    x = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(crop(x, 1, 1, 2), x[:, 1:2])
    np.testing.assert_array_equal(crop(x, 0, 1, 0), x[1:])
    np.testing.assert_array_equal(x[along(x, 1, slice(0, 2))], x[:, :2])


def test_spatial_axes():
    assert spatial_axes("channels_last") == (1, 2)
    assert spatial_axes("channels_first") == (2, 3)
