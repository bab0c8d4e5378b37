import checks
import numpy as np
import pytest
from keras import ops

from keras_perceptual.ops.penalties import (
    absolute,
    charbonnier_penalty,
    power_penalty,
)

TWINS = {
    absolute: np.abs,
    charbonnier_penalty: lambda x: np.sqrt(x * x + 1e-6) - 1e-3,
}


@pytest.mark.parametrize("penalty", [absolute, charbonnier_penalty])
def test_value_and_gradient(penalty, rng):
    x = rng.normal(size=(4, 5)).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(penalty(ops.convert_to_tensor(x))),
        TWINS[penalty](x),
        rtol=1e-4,
        atol=1e-6,
    )
    checks.check_finite_differences(lambda x: ops.sum(penalty(x)), x, step=1e-3)


@pytest.mark.parametrize("penalty", [absolute, charbonnier_penalty])
def test_gradient_at_zero_is_zero(penalty):
    (gradient,) = checks.gradients(
        lambda x: ops.sum(penalty(x)), np.zeros(3, "float32")
    )
    np.testing.assert_array_equal(gradient, 0)


def test_charbonnier_of_a_small_difference_does_not_cancel():
    x = ops.convert_to_tensor(np.full(1, 1e-6, "float32"))
    value = float(charbonnier_penalty(x)[0])
    np.testing.assert_allclose(value, 0.5e-9, rtol=1e-3)


def test_charbonnier_grows_like_the_absolute_value():
    x = ops.convert_to_tensor(np.full(1, 1e4, "float32"))
    value = float(charbonnier_penalty(x, epsilon=0.5)[0])
    np.testing.assert_allclose(value, 1e4 - 0.5, rtol=1e-6)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0, 3.0])
def test_power_penalty(exponent):
    x = np.float32([-2.0, 0.0, 0.5])
    found = power_penalty(ops.convert_to_tensor(x), exponent)
    found = ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, np.abs(x) ** exponent, rtol=1e-6)
    (gradient,) = checks.gradients(
        lambda x: ops.sum(power_penalty(x, exponent)), x
    )
    expected = exponent * np.abs(x) ** (exponent - 1) * np.sign(x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
