import numpy as np
import pytest

from keras_perceptual import validation


def test_check_choice_names_near_ones_and_all():
    assert validation.check_choice("Loss", "norm", "l1", ("l1", "l2")) == "l1"
    with pytest.raises(
        ValueError,
        match=r"Loss does not know this `norm`. Did you mean 'charbonnier'\? "
        r"Use one of \['l1', 'charbonnier'\]. Received: norm='charbonier'",
    ):
        validation.check_choice(
            "Loss", "norm", "charbonier", ("l1", "charbonnier")
        )


@pytest.mark.parametrize("value_range", [(0, 1), [-1, 1], (0.0, 255)])
def test_check_value_range_returns_floats(value_range):
    low, high = validation.check_value_range("Loss", value_range)
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert [low, high] == list(value_range)


@pytest.mark.parametrize(
    "value_range",
    [(1, 0), (0, 0), (0, 1, 2), 1, "ab", None, (0, np.nan), (0, np.inf)],
)
def test_check_value_range_refuses(value_range):
    with pytest.raises(ValueError, match=r"two finite numbers.*Received: val"):
        validation.check_value_range("Loss", value_range)


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, "1", None, True])
def test_check_number_refuses(value):
    with pytest.raises(ValueError, match=r"of at least 0. Received: weight="):
        validation.check_number("Loss", "weight", value, minimum=0)


def test_check_number_takes_numpy_numbers_and_bounds():
    assert validation.check_number("L", "w", np.float32(2), minimum=2) == 2.0
    with pytest.raises(ValueError, match="above 0"):
        validation.check_number("L", "w", 0, above=0)


@pytest.mark.parametrize("value", [1, 2.0, "3", None, True])
def test_check_integer_refuses(value):
    with pytest.raises(ValueError, match="whole number of at least 2"):
        validation.check_integer("Layer", "size", value, minimum=2)


def test_check_integer_takes_numpy_integers():
    assert validation.check_integer("L", "n", np.int64(3), minimum=2) == 3


def check_pair(y_true, y_pred, channels=None, data_format="channels_last"):
    validation.check_image_pair(
        "Loss", y_true, y_pred, channels=channels, data_format=data_format
    )


def images(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


def test_check_folder(tmp_path):
    assert validation.check_folder("Callback", tmp_path) == str(tmp_path)
    assert validation.check_folder("Callback", "logs") == "logs"
    for value in (None, "", 3):
        message = rf"^Callback .* Received: log_dir={value!r}$"
        with pytest.raises(ValueError, match=message):
            validation.check_folder("Callback", value)


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
    validation.check_sample_weight("Loss", None)
    validation.check_sample_weight("Loss", np.ones(3))
    validation.check_sample_weight("Loss", np.ones((3, 1)))
    validation.check_sample_weight("Loss", 2.0)
    with pytest.raises(ValueError, match=r"shape \(batch,\).*Received"):
        validation.check_sample_weight("Loss", np.ones((3, 4, 4)))


def test_split_mask():
    images, mask = np.ones((2, 4, 4, 3)), np.ones((2, 4, 4))
    weights = np.ones(2)
    split = validation.split_mask
    assert split("A", images, None) == (images, None, None)
    assert split("A", images, weights) == (images, None, weights)
    assert split("A", (images, mask), weights) == (images, mask, weights)
    assert split("A", images, mask) == (images, mask, None)
    with pytest.raises(ValueError, match=r"two masks.*shape=\(2, 4, 4\)"):
        split("A", (images, mask), mask)


@pytest.mark.parametrize("value", [10**400, "7", True, float("nan"), [1], None])
def test_what_is_no_number_is_refused_whatever_it_is(value):
    with pytest.raises(ValueError, match=r"finite number.*Received: x="):
        validation.check_number("Owner", "x", value)


@pytest.mark.parametrize("value", ["yes", 2, 0.5, None, [], {}])
def test_what_is_no_truth_value_is_refused(value):
    with pytest.raises(ValueError, match=r"True or False.*Received: x="):
        validation.check_boolean("Owner", "x", value)


@pytest.mark.parametrize("value", [True, 1, np.True_])
def test_truth_values_are_accepted(value):
    assert validation.check_boolean("Owner", "x", value) is True


def test_a_largest_number_is_told():
    with pytest.raises(ValueError, match=r"at least 2 and at most 9.*x=10$"):
        validation.check_integer("Owner", "x", 10, minimum=2, maximum=9)


@pytest.mark.parametrize("value", ["01", ["0", "1"], [False, True], {}, 7])
def test_a_range_of_anything_but_numbers_is_refused(value):
    with pytest.raises(ValueError, match=r"Received: value_range="):
        validation.check_value_range("Owner", value)


def test_messages_show_little_of_much():
    for value in (
        "x" * 10**6,
        [1] * 10**6,
        10**4000,
        {i: i for i in range(99)},
    ):
        assert len(validation.show(value)) < 300
