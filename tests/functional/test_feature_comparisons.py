import pytest
from function_checks import (
    check_arguments,
    check_mask,
    check_value_and_gradient,
    functions_of,
)
from sampling import once

import keras_perceptual as kp
from keras_perceptual.functional import feature_comparisons

# Each function with its class, and settings that are not the defaults.
FUNCTIONS = {
    "perceived_distance": (
        kp.PerceivedDistance,
        {"weights": "random", "size": "small", "forgive_gain": False},
    ),
    "contextual_loss": (
        kp.ContextualLoss,
        {"backbone": "alexnet", "layers": {"relu1": 0.5}, "max_features": 20},
    ),
    "dists": (kp.DISTS, {"weights": "random", "resize": 24}),
    "lpips": (kp.LPIPS, {"weights": "random", "linear_heads": False}),
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
}
# Where a place has a meaning.
MASKED = tuple(sorted(set(FUNCTIONS) - {"contextual_loss"}))


@pytest.fixture
def pair(rng):
    return rng.uniform(size=(2, 2, 40, 36, 3)).astype("float32")


def test_no_function_is_left_out():
    assert functions_of(feature_comparisons) == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_has_the_arguments_and_defaults_of_the_class(name):
    check_arguments(name, FUNCTIONS[name][0], name in MASKED)


@pytest.mark.parametrize("name", once(FUNCTIONS))
def test_value_and_gradient_are_those_of_the_loss(name, pair):
    check_value_and_gradient(name, *FUNCTIONS[name], pair)


@pytest.mark.parametrize("name", MASKED)
def test_masks(name, pair):
    check_mask(name, *FUNCTIONS[name], pair)


def test_what_is_refused_is_refused_as_by_the_class(pair):
    with pytest.raises(ValueError, match="Did you mean 'alexnet'"):
        kp.functional.lpips(*pair, "alexnett")
