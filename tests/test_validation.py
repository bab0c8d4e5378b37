import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual import validation
from keras_perceptual.validation import Checker, looks_like


def test_check_choice_names_near_ones_and_all():
    assert Checker("Loss").choice("norm", "l1", ("l1", "l2")) == "l1"
    with pytest.raises(
        ValueError,
        match=r"Loss does not know this `norm`. Did you mean 'charbonnier'\? "
        r"Use one of \['l1', 'charbonnier'\]. Received: norm='charbonier'",
    ):
        Checker("Loss").choice("norm", "charbonier", ("l1", "charbonnier"))


@pytest.mark.parametrize("value_range", [(0, 1), [-1, 1], (0.0, 255)])
def test_check_value_range_returns_floats(value_range):
    low, high = Checker("Loss").value_range(value_range)
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert [low, high] == list(value_range)


@pytest.mark.parametrize(
    "value_range",
    [(1, 0), (0, 0), (0, 1, 2), 1, "ab", None, (0, np.nan), (0, np.inf)],
)
def test_check_value_range_refuses(value_range):
    with pytest.raises(ValueError, match=r"two finite numbers.*Received: val"):
        Checker("Loss").value_range(value_range)


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, "1", None, True])
def test_check_number_refuses(value):
    with pytest.raises(ValueError, match=r"of at least 0. Received: weight="):
        Checker("Loss").number("weight", value, minimum=0)


def test_check_number_takes_numpy_numbers_and_bounds():
    assert Checker("L").number("w", np.float32(2), minimum=2) == 2.0
    with pytest.raises(ValueError, match="above 0"):
        Checker("L").number("w", 0, above=0)


@pytest.mark.parametrize("value", [1, 2.0, "3", None, True])
def test_check_integer_refuses(value):
    with pytest.raises(ValueError, match="whole number of at least 2"):
        Checker("Layer").integer("size", value, minimum=2)


def test_check_integer_takes_numpy_integers():
    assert Checker("L").integer("n", np.int64(3), minimum=2) == 3


def test_the_owner_is_an_object_or_its_name():
    for owner in (np.random.default_rng(0), "Generator"):
        with pytest.raises(ValueError, match=r"^Generator needs `w` to be"):
            Checker(owner).number("w", None)


def check_pair(y_true, y_pred, channels=None, data_format="channels_last"):
    Checker("Loss").image_pair(
        y_true, y_pred, channels=channels, data_format=data_format
    )


def images(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


def test_check_folder(tmp_path):
    assert Checker("Callback").folder(tmp_path) == str(tmp_path)
    assert Checker("Callback").folder("logs") == "logs"
    for value in (None, "", 3):
        message = rf"^Callback .* Received: log_dir={value!r}$"
        with pytest.raises(ValueError, match=message):
            Checker("Callback").folder(value)


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
    Checker("Loss").sample_weight(None)
    Checker("Loss").sample_weight(np.ones(3))
    Checker("Loss").sample_weight(np.ones((3, 1)))
    Checker("Loss").sample_weight(2.0)
    with pytest.raises(ValueError, match=r"shape \(batch,\).*Received"):
        Checker("Loss").sample_weight(np.ones((3, 4, 4)))


def test_split_mask():
    images, mask = np.ones((2, 4, 4, 3)), np.ones((2, 4, 4))
    weights = np.ones(2)
    split = Checker("A").split_mask
    assert split(images, None) == (images, None, None)
    assert split(images, weights) == (images, None, weights)
    assert split((images, mask), weights) == (images, mask, weights)
    assert split(images, mask) == (images, mask, None)
    with pytest.raises(ValueError, match=r"two masks.*shape=\(2, 4, 4\)"):
        split((images, mask), mask)


@pytest.mark.parametrize("value", [10**400, "7", True, float("nan"), [1], None])
def test_what_is_no_number_is_refused_whatever_it_is(value):
    with pytest.raises(ValueError, match=r"finite number.*Received: x="):
        Checker("Owner").number("x", value)


@pytest.mark.parametrize("value", ["yes", 2, 0.5, None, [], {}])
def test_what_is_no_truth_value_is_refused(value):
    with pytest.raises(ValueError, match=r"True or False.*Received: x="):
        Checker("Owner").boolean("x", value)


@pytest.mark.parametrize("value", [True, 1, np.True_])
def test_truth_values_are_accepted(value):
    assert Checker("Owner").boolean("x", value) is True


def test_a_largest_number_is_told():
    with pytest.raises(ValueError, match=r"at least 2 and at most 9.*x=10$"):
        Checker("Owner").integer("x", 10, minimum=2, maximum=9)


@pytest.mark.parametrize("value", ["01", ["0", "1"], [False, True], {}, 7])
def test_a_range_of_anything_but_numbers_is_refused(value):
    with pytest.raises(ValueError, match=r"Received: value_range="):
        Checker("Owner").value_range(value)


def test_messages_show_little_of_much():
    for value in (
        "x" * 10**6,
        [1] * 10**6,
        10**4000,
        {i: i for i in range(99)},
    ):
        assert len(validation.show(value)) < 300


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


def test_a_long_path_is_shown_by_its_end():
    path = "a" * 10_000 + ".npz"
    with pytest.raises((FileNotFoundError, OSError)) as caught:
        kp.PerceptualLoss("alexnet", weights=path)
    assert len(str(caught.value)) < 600
    assert "aaa.npz'" in str(caught.value)


def test_the_warning_of_a_layout_points_at_the_line_of_the_user():
    images = np.zeros((1, 3, 16, 16), "float32")
    with pytest.warns(UserWarning, match="takes images of shape") as caught:
        kp.SSIMLoss(filter_size=3)(images, images)
    (ours,) = (w for w in caught if "takes images" in str(w.message))
    assert ours.filename == __file__
