"""NaN in, NaN out: for every loss, in every place, compiled or not.

A loss that leaves a broken pixel out trains on as if nothing were wrong.
"""

import keras
import numpy as np
import pytest
from checks import compiled_gradient
from keras import ops
from sampling import sample
from small_losses import LOSSES, loss_of

import keras_perceptual as kp

# Corners, the middle, and where a stride of four or a pooling leaves off.
PLACES = [(0, 0, 0), (17, 18, 1), (35, 35, 2), (35, 0, 0), (20, 34, 1)]


# Where it is something else than the usual compilation.
XLA = [False, True] if keras.backend.backend() == "tensorflow" else [False]


@pytest.fixture
def pair(rng):
    return rng.uniform(size=(2, 2, 36, 36, 3)).astype("float32")


@pytest.mark.parametrize("side", ["y_true", "y_pred"])
@pytest.mark.parametrize("name", LOSSES)
def test_nan_in_is_nan_out(pair, name, side):
    loss = loss_of(name)
    ignored = name == "TotalVariationLoss" and side == "y_true"
    for place in PLACES[:: 1 if keras.backend.backend() != "jax" else 2]:
        images = pair.copy()
        images[("y_true", "y_pred").index(side), 0][place] = np.nan
        values = ops.convert_to_numpy(loss.per_image(*images))
        assert np.isnan(values).tolist() == [not ignored, False], place


@pytest.mark.parametrize("xla", XLA)
@pytest.mark.parametrize("name", sample(list(LOSSES), every=2))
def test_compiled_value_and_gradient_are_nan(pair, name, xla):
    step = compiled_gradient(loss_of(name), xla)
    for place in PLACES[1:3]:
        true, pred = pair.copy()
        pred[0][place] = np.nan
        value, gradient = step(true, pred)
        assert np.isnan(value)
        if loss_of(name)._distance.network is not None:
            assert np.isnan(gradient[0]).any()


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_a_network_cannot_leave_it_out(pair, pooling):
    """Behind three poolings, and in rows that the last one leaves off."""
    loss = kp.PerceptualLoss(
        "vgg16", ["relu4_1"], weights="random", pooling=pooling
    )
    true, pred = pair[:, :, :12, :12]
    for place in ((11, 11, 0), (4, 4, 1)):
        broken = pred.copy()
        broken[0][place] = np.nan
        for found in (
            loss.per_image(true, broken),
            loss.per_image(broken, true),
            loss.per_image(loss.encode(broken), true),
        ):
            found = ops.convert_to_numpy(found)
            assert np.isnan(found).tolist() == [True, False]
        shown = ops.convert_to_numpy(loss.spatial_map(true, broken))
        assert np.isnan(shown[0]).all()
        assert np.isfinite(shown[1]).all()


def test_nor_can_windows():
    images = np.full((1, 300, 40, 3), 0.5, "float32")
    broken = images.copy()
    broken[0, 299, 39] = np.nan
    assert np.isnan(float(kp.LPIPS().per_image(images, broken, tile=256)[0]))
