import keras
import pytest

from keras_perceptual.features.taps import (
    check_layers,
    check_taps,
    is_before_activation,
    layer_name,
    standardize_tap,
)

ALIASES = {"relu1": "conv1", "conv1_1": "conv1:before_activation"}


@pytest.fixture
def network():
    inputs = keras.Input((None, None, 3), name="images")
    x = keras.layers.Conv2D(2, 1, activation="relu", name="conv1")(inputs)
    x = keras.layers.Conv2D(2, 1, name="linear")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    return keras.Model(inputs, x, name="small")


def test_the_parts_of_a_name():
    assert layer_name("a:before_activation") == layer_name("a") == "a"
    assert is_before_activation("a:before_activation")
    assert not is_before_activation("a")


@pytest.mark.parametrize(
    ("name", "tap"),
    [
        ("conv1", "conv1"),
        ("relu1", "conv1"),
        ("conv1_1", "conv1:before_activation"),
        ("conv1:before_activation", "conv1:before_activation"),
        ("relu1:before_activation", "conv1:before_activation"),
        ("conv1_1:before_activation", "conv1:before_activation"),
    ],
)
def test_every_name_of_a_tap(name, tap):
    assert standardize_tap(name, ALIASES) == tap


def test_both_sides_of_an_activation_are_two_taps(network):
    check_taps(
        {"relu1": "conv1", "conv1_1": "conv1:before_activation"}, network
    )


@pytest.mark.parametrize(
    ("taps", "text"),
    [
        (
            {"relu2": "relu2"},
            "has no layer of this name. Did you mean .*'relu1'",
        ),
        (
            {"conv9:before_activation": "conv9:before_activation"},
            "has no layer of this name",
        ),
        ({"relu1": "conv1", "conv1": "conv1"}, "asked for twice"),
        (
            dict.fromkeys(["a", "b"], "conv1:before_activation"),
            "asked for twice",
        ),
        (
            {"linear": "linear:before_activation"},
            "'linear' of 'small' has no activation .* Use 'linear' as it is",
        ),
        (
            {"norm": "norm:before_activation"},
            "'norm' of 'small' has no activation .* Use 'norm' as it is",
        ),
        (
            {"relu": "relu:before_activation"},
            "'relu' of 'small' is an activation .* in front of it: 'norm'",
        ),
        (
            {"images": "images:before_activation"},
            "'images' of 'small' has no activation",
        ),
    ],
)
def test_what_is_no_tap_is_refused(taps, text, network):
    with pytest.raises(ValueError, match=text) as error:
        check_taps(taps, network, ALIASES)
    assert str(error.value).endswith(f"Received: layers={list(taps)}")


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (None, None),
        ("relu1", ["relu1"]),
        (("relu1", "relu2"), ["relu1", "relu2"]),
        ({"relu1": 2, "relu2": 0}, {"relu1": 2.0}),
    ],
)
def test_layers_of_a_loss(layers, expected):
    assert check_layers("Loss", "layers", layers) == expected


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], r"^Loss needs the name of at least one.*Received: taps=\[\]$"),
        ([3], r"at least one layer.*Received: taps=\[3\]$"),
        ({"a": -1}, r"`taps\['a'\]`.*at least 0.*Received: taps"),
        ({"a": 0}, r"always be zero.*Received: taps=\{'a': 0\}$"),
    ],
)
def test_layers_that_make_no_loss(layers, message):
    with pytest.raises(ValueError, match=message):
        check_layers("Loss", "taps", layers)
