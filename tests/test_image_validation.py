import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual.image_validation import ImageChecker, looks_like


def check_pair(y_true, y_pred, channels=None, data_format="channels_last"):
    ImageChecker("Loss").image_pair(
        y_true, y_pred, channels=channels, data_format=data_format
    )


def images(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


def test_check_image_pair_accepts():
    check_pair(images(1, 4, 4, 3), images(1, 4, 4, 3))
    check_pair(images(1, 4, 4, 3, dtype="uint8"), images(1, 4, 4, 3))
    check_pair(images(1, 4, 4, 3).tolist(), images(1, 4, 4, 3), (1, 3))
    check_pair(images(1, 3, 4, 4), images(1, 3, 4, 4), (1, 3), "channels_first")


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_check_image_pair_refuses_integer_predictions(dtype):
    with pytest.raises(
        ValueError,
        match=f"no gradient can flow.*Received: y_pred.dtype={dtype}",
    ):
        check_pair(images(1, 4, 4, 3), images(1, 4, 4, 3, dtype=dtype))


def test_check_image_pair_refuses_other_ranks():
    with pytest.raises(ValueError, match=r"Add the missing axis.*Received"):
        check_pair(images(4, 4, 3), images(4, 4, 3))
    with pytest.raises(ValueError, match=r"fold the frames.*Received"):
        check_pair(images(1, 2, 4, 4, 3), images(1, 2, 4, 4, 3))


@pytest.mark.parametrize(
    ("true_shape", "pred_shape"),
    [
        ((1, 4, 4, 3), (2, 4, 4, 3)),
        ((2, 4, 4, 1), (2, 4, 4, 3)),
        ((2, 4, 1, 3), (2, 4, 4, 3)),
    ],
)
def test_check_image_pair_refuses_to_broadcast(true_shape, pred_shape):
    with pytest.raises(ValueError, match=r"does not stretch.*Received: y_true"):
        check_pair(images(*true_shape), images(*pred_shape))


def test_check_image_pair_refuses_other_channels():
    with pytest.raises(ValueError, match=r"with 1 or 3 channels.*Received"):
        check_pair(images(1, 4, 4, 4), images(1, 4, 4, 4), (1, 3))
    with pytest.raises(ValueError, match="channels, height, width"):
        check_pair(
            images(1, 4, 4, 3), images(1, 4, 4, 3), (3,), "channels_first"
        )


def test_check_sample_weight():
    ImageChecker("Loss").sample_weight(None)
    ImageChecker("Loss").sample_weight(np.ones(3))
    ImageChecker("Loss").sample_weight(np.ones((3, 1)))
    ImageChecker("Loss").sample_weight(2.0)
    with pytest.raises(ValueError, match=r"shape \(batch,\).*Received"):
        ImageChecker("Loss").sample_weight(np.ones((3, 4, 4)))


def test_split_mask():
    images, mask = np.ones((2, 4, 4, 3)), np.ones((2, 4, 4))
    weights = np.ones(2)
    split = ImageChecker("A").split_mask
    assert split(images, None) == (images, None, None)
    assert split(images, weights) == (images, None, weights)
    assert split((images, mask), weights) == (images, mask, weights)
    assert split(images, mask) == (images, mask, None)
    with pytest.raises(ValueError, match=r"two masks.*shape=\(2, 4, 4\)"):
        split((images, mask), mask)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3, 32, 40), "channels_first"),
        ((2, 32, 40, 3), "channels_last"),
        ((2, 1, 28, 28), "channels_first"),
        ((2, 1, 64, 16), None),  # One row of sixteen channels.
        ((2, 3, 3, 3), None),
        ((2, 16, 16, 16), None),
        ((2, None, 32, 3), None),
    ],
)
def test_looks_like(shape, expected):
    assert looks_like(shape) == expected


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_images_of_the_other_layout(data_format, rng):
    """A loss on any number of channels would compare something else."""
    images = rng.uniform(size=(2, 3, 24, 24)).astype("float32")
    if data_format == "channels_first":
        images = np.moveaxis(images, 1, -1)
    loss = kp.CharbonnierLoss(data_format=data_format)
    with pytest.warns(UserWarning, match="pass `data_format='channels_"):
        loss(images, images)
    loss(images, images)  # Once is enough.
    with pytest.raises(ValueError, match="pass `data_format='channels_"):
        kp.PerceptualLoss("alexnet", data_format=data_format)(images, images)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (4, "Drop an alpha channel"),
        (13, "a loss on pixels, such as `SSIMLoss`"),
    ],
)
def test_advice_goes_by_the_number_of_channels(channels, message):
    images = np.zeros((1, 40, 40, channels), "float32")
    with pytest.raises(ValueError, match=message) as caught:
        kp.PerceptualLoss("alexnet", weights="random")(images, images)
    assert ("alpha" in str(caught.value)) == (channels == 4)


def test_the_warning_of_a_layout_points_at_the_line_of_the_user():
    images = np.zeros((1, 3, 16, 16), "float32")
    with pytest.warns(UserWarning, match="takes images of shape") as caught:
        kp.SSIMLoss(filter_size=3)(images, images)
    (ours,) = (w for w in caught if "takes images" in str(w.message))
    assert ours.filename == __file__
