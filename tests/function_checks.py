"""What each function of `functional` is asked, whatever it compares."""

import inspect

import checks
import keras
import numpy as np
import pytest

import keras_perceptual as kp

SIMILARITIES = ("haar_psi", "ms_ssim", "ssim")
# What only a loss needs.
OF_LOSSES = {"check_range", "reduction", "name"}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def call(name, y_true, y_pred, **settings):
    function = getattr(kp.functional, name)
    if name == "total_variation":
        return function(y_pred, **settings)
    return function(y_true, y_pred, **settings)


def functions_of(module):
    """Returns the names of the functions that are public and of a module."""
    return {
        name
        for name, function in vars(kp.functional).items()
        if getattr(function, "__module__", None) == module.__name__
    }


def check_arguments(name, cls, masked):
    """They have the names and the defaults of those of the class."""
    expected = {
        n: p.default
        for n, p in inspect.signature(cls).parameters.items()
        if n not in OF_LOSSES
    }
    signature = inspect.signature(getattr(kp.functional, name))
    found = {n: p.default for n, p in signature.parameters.items()}
    images = {"y_true", "y_pred", "images", "mask"}
    assert {n: d for n, d in found.items() if n not in images} == expected
    assert ("mask" in found) == masked


def check_value_and_gradient(name, cls, settings, pair):
    """They are those of the loss."""
    loss = cls(**settings)
    sign = -1 if name in SIMILARITIES else 1
    expected = numpy(loss.per_image(*pair))
    found = numpy(call(name, *pair, **settings))
    assert found.shape == (2,)
    offset = 1 if name in SIMILARITIES else 0
    np.testing.assert_array_equal(found, np.float32(offset) + sign * expected)
    (expected,) = checks.gradients(
        lambda x: keras.ops.sum(loss.per_image(pair[0], x)), pair[1]
    )
    (found,) = checks.gradients(
        lambda x: keras.ops.sum(call(name, pair[0], x, **settings)), pair[1]
    )
    np.testing.assert_allclose(found, sign * expected, rtol=1e-6, atol=1e-9)


def check_mask(name, cls, settings, pair):
    """It hides what it hides from the loss."""
    mask = np.zeros((2, 40, 36), "float32")
    mask[:, :20] = 1
    expected = numpy(cls(**settings).per_image((pair[0], mask), pair[1]))
    found = numpy(call(name, *pair, mask=mask, **settings))
    if name in SIMILARITIES:
        expected = 1 - expected
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(found, numpy(call(name, *pair, **settings)))
    with pytest.raises(ValueError, match=r"Received: mask\.shape="):
        call(name, *pair, mask=mask[:, :7], **settings)
    if cls(**settings)._distance.hides_pixels:
        pair[:, :, 20:] = np.nan
        hidden = numpy(call(name, *pair, mask=mask, **settings))
        np.testing.assert_array_equal(hidden, found)
