import dataclasses
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_perceptual import LPIPS, CharbonnierLoss
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquaredDistance(PixelDistance):
    seen: list

    def measure(self, y_true, y_pred, mask=None):
        self.seen[:] = y_true.dtype, y_pred.dtype
        return ops.mean(ops.square(y_pred - y_true), axis=(1, 2, 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class MappedDifference(SquaredDistance):
    no_map = None
    takes_mask = True

    def map(self, true, pred):
        return {"pixels": ops.mean(abs(pred["pixels"] - true["pixels"]), -1)}


class Difference(ImageLoss):
    """The smallest image loss there can be."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = []
        self._distance = SquaredDistance.of(self)


def images(low, high, dtype="float32"):
    return (
        np.linspace(low, high, 2 * 4 * 4 * 3).reshape(2, 4, 4, 3).astype(dtype)
    )


def test_returns_one_value_an_image_without_reduction():
    values = Difference(reduction=None)(images(0, 1), images(0, 0.5))
    assert tuple(values.shape) == (2,)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16"])
def test_computes_in_float32_at_least(dtype):
    loss = Difference(dtype=dtype)
    loss(images(0, 1, "float16"), images(0, 1, "float16"))
    assert [keras.backend.standardize_dtype(d) for d in loss.seen] == [
        "float32",
        "float32",
    ]
    assert loss.get_config()["dtype"] == dtype


def test_integer_targets_are_fine_and_integer_predictions_are_not():
    loss = Difference(value_range=(0, 255))
    loss(images(0, 255, "uint8"), images(0, 255))
    with pytest.raises(ValueError, match=r"Received: y_pred\.dtype=uint8"):
        loss(images(0, 255), images(0, 255, "uint8"))


def test_refuses_what_would_broadcast_before_computing():
    loss = Difference()
    with pytest.raises(ValueError, match="does not stretch"):
        loss(images(0, 1)[:1], images(0, 1))
    with pytest.raises(ValueError, match="one weight"):
        loss(images(0, 1), images(0, 1), np.ones((2, 4, 4)))
    assert loss.seen == []


def test_warns_once_about_the_range_of_the_target():
    loss = Difference()
    with pytest.warns(UserWarning, match=r"Difference: y_true .*\(0, 255\)"):
        loss(images(0, 255), images(0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(images(0, 255), images(0, 1))


def test_warns_about_the_range_of_the_prediction_when_it_is_far_off():
    with pytest.warns(UserWarning, match="Difference: y_pred holds values"):
        Difference()(images(0, 1), images(0, 255))
    Difference()(images(0, 1), images(-2, 3))


def test_the_warning_points_at_the_line_of_the_caller():
    with pytest.warns(UserWarning, match="y_true holds") as caught:
        Difference()(images(0, 255), images(0, 1))
    # PyTorch may have a warning of its own.
    (ours,) = (w for w in caught if "y_true holds" in str(w.message))
    assert ours.filename == __file__


def test_per_image_values_are_those_before_the_reduction():
    loss = Difference()
    values = loss.per_image(images(0, 1), images(0, 0.5))
    expected = Difference(reduction=None)(images(0, 1), images(0, 0.5))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(values), ops.convert_to_numpy(expected)
    )


def test_data_format_is_that_of_keras_unless_given():
    assert Difference().data_format == "channels_last"
    keras.config.set_image_data_format("channels_first")
    assert Difference().data_format == "channels_first"
    with pytest.raises(ValueError, match="Did you mean 'channels_last'"):
        Difference(data_format="channel_last")


def test_value_range_is_checked():
    with pytest.raises(ValueError, match=r"Received: value_range=\(1, 0\)"):
        Difference(value_range=(1, 0))


def test_a_loss_that_cannot_look_through_windows_says_so():
    x = images(0, 1)
    with pytest.raises(ValueError, match=r"`LPIPS`.*Received: tile=256"):
        Difference().per_image(x, x, tile=256)


def test_the_map_is_that_of_the_distance():
    loss = Difference()
    true, pred = images(0, 1), images(0, 0.5)
    with pytest.raises(ValueError, match=r"no map .*Received: y_true\.shape="):
        loss.spatial_map(true, pred)
    loss._distance = MappedDifference.of(loss)
    expected = np.mean(true - pred, -1)
    for target in (true, (true, np.ones((2, 4, 4)))):
        found = ops.convert_to_numpy(loss.spatial_map(target, pred))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert tuple(loss.spatial_map(true[:0], pred[:0]).shape) == (0, 4, 4)


def test_a_comparison_looks_at_no_values():
    loss = Difference()
    true, pred = images(0, 255, "uint8"), images(0, 250, "uint8")
    with warnings.catch_warnings():
        # PyTorch may have a warning of its own.
        warnings.simplefilter("error", UserWarning)
        found = ops.convert_to_numpy(loss.compare(true, pred))
    difference = true.astype("float32") - pred
    np.testing.assert_allclose(
        found, np.mean(difference**2, (1, 2, 3)), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("reduction", "shape"),
    [("sum_over_batch_size", ()), ("sum", ()), ("none", (0,)), (None, (0,))],
)
def test_a_batch_without_images_costs_nothing(reduction, shape):
    loss = Difference(reduction=reduction)
    none = np.zeros((0, 4, 4, 3), "float32")
    found = ops.convert_to_numpy(loss(none, none))
    assert found.shape == shape and not found.any()
    assert loss.per_image(none, none).shape == (0,)
    # Nor does it matter how it is looked at.
    windowed = LPIPS(weights="random")
    assert tuple(windowed.per_image(none, none, tile=256).shape) == (0,)
    assert loss.seen == []


def test_stray_values_are_moved_into_the_range_where_that_is_asked_for():
    loss = Difference(check_range="clip", reduction=None)
    true, pred = images(0, 1.05), images(-3, 1)
    expected = Difference(reduction=None)(
        np.clip(true, 0, 1), np.clip(pred, 0, 1)
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loss(true, pred)), ops.convert_to_numpy(expected)
    )


@pytest.mark.parametrize("place", [0, 1])
def test_complex_numbers_are_refused(place):
    """Rather than compared without their imaginary parts."""
    images = [np.zeros((1, 8, 8, 3), "float32") for _ in range(2)]
    images[place] = images[place].astype("complex64")
    with pytest.raises(ValueError, match=r"real numbers.*dtype=complex64"):
        CharbonnierLoss()(*images)
