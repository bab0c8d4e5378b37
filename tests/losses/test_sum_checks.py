import checks
import keras
import pytest

import keras_perceptual as kp

BALANCED = {
    "terms": {"a": "mae", "b": ("mse", 0.5)},
    "balance": "gradient",
    "shares": {"a": 0.2, "b": 0.8},
}


@pytest.fixture
def pair(rng):
    return rng.uniform(size=(2, 3, 12, 12, 3)).astype("float32")


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, r"Received: terms=\{\}"),
        ([keras.losses.MeanSquaredError()], "needs a dictionary"),
        ({"a": "mea"}, r"Did you mean 'mse'|Received: terms\['a'\]='mea'"),
        ({"a": "mean_absolut_error"}, "Did you mean 'mean_absolute_error'"),
        ({"a": (0.1, kp.SSIMLoss())}, r"in front of its weight: \(loss, 0.1\)"),
        ({"a": (0.1, "mse")}, r"in front of its weight: \(loss, 0.1\)"),
        ({"a": kp.SSIMLoss}, r"Create one: `SSIMLoss\(\)`"),
        ({"a": keras.losses.mean_squared_error}, "put a function into"),
        ({"a": (kp.SSIMLoss(), 1, 2)}, "a pair of a loss and its weight"),
        ({"loss": keras.losses.MeanSquaredError()}, "named 'loss'"),
        ({"a": (keras.losses.MeanSquaredError(), -1)}, "Received: the weight"),
        ({"a": (keras.losses.MeanSquaredError(), "x")}, "a finite number"),
    ],
)
def test_refuses_what_is_no_term(terms, message):
    with pytest.raises(ValueError, match=message):
        kp.WeightedSumLoss(terms)


@pytest.mark.parametrize(
    "name", ["mse", "MSE", "mean_squared_error", "MeanSquaredError"]
)
def test_losses_of_keras_by_name(name, pair):
    loss = kp.WeightedSumLoss({"a": (name, 0.5)})
    expected = 0.5 * float(keras.losses.MeanSquaredError()(*pair))
    assert float(loss(*pair)) == pytest.approx(expected, rel=1e-6)
    checks.check_config(loss)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ([0, 1], "a dictionary from names"),
        ({"b": [0]}, r"The terms are \['a'\]"),
        ({"a": []}, "at least one integer"),
        ({"a": [-1]}, "at least 0"),
    ],
)
def test_refuses_what_are_no_channels(channels, message):
    with pytest.raises(ValueError, match=message):
        kp.WeightedSumLoss({"a": "mse"}, channels=channels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"balance": "gradients"}, "Did you mean 'gradient'"),
        ({"balance": None}, "Add it, or leave out `shares`"),
        ({"shares": {"a": 1}}, r"names of the terms.*Received: shares"),
        ({"shares": {"a": 1, "b": 1, "c": 1}}, "Terms of weight 0 have none"),
        ({"shares": {"a": 1, "b": 0}}, "the share of 'b'.*above 0"),
        ({"shares": [1, 1]}, "needs `shares` to be a dictionary"),
        ({"terms": {"a": ("mse", 0)}}, "a weight above 0 to balance"),
        (
            {"terms": {"a": "mse", "b": kp.SSIMLoss(reduction=None)}},
            "reduced to one number",
        ),
    ],
)
def test_refuses_what_cannot_be_balanced(arguments, message):
    with pytest.raises(ValueError, match=message):
        kp.WeightedSumLoss(**BALANCED | arguments)
