"""Weights of pixels mean the same to every loss that compares pixels."""

import checks
import keras
import numpy as np
import pytest
from keras import ops

import keras_perceptual as kp

LOSSES = {
    "charbonnier": kp.CharbonnierLoss,
    "variation": kp.TotalVariationLoss,
    "soft variation": lambda **k: kp.TotalVariationLoss("l2", **k),
    "isotropic": lambda **k: kp.TotalVariationLoss("isotropic", **k),
    "ssim": lambda **k: kp.SSIMLoss(filter_size=5, **k),
    "ms-ssim": lambda **k: kp.MSSSIMLoss((0.4, 0.6), filter_size=5, **k),
    "frequencies": kp.FocalFrequencyLoss,
    "log frequencies": lambda **k: kp.FocalFrequencyLoss(
        0.5, log_matrix=True, patch_factor=2, **k
    ),
    "edges": kp.SobelGradientLoss,
    "haar psi": kp.HaarPSILoss,
    "mdsi": kp.MDSILoss,
    "wavelets": kp.WaveletLoss,
}


@pytest.fixture
def pair(rng):
    return rng.uniform(size=(2, 2, 24, 20, 3)).astype("float32")


def half(images):
    """Returns a mask that hides the right half."""
    mask = np.ones(images.shape[:3], "float32")
    mask[:, :, 10:] = 0
    return mask


def values(loss, *images):
    return ops.convert_to_numpy(loss.per_image(*images))


@pytest.mark.parametrize("name", LOSSES)
def test_equal_weights_change_nothing(name, pair):
    true, pred = pair
    loss = LOSSES[name]()
    for weight in (1.0, 0.25):
        mask = np.full(true.shape[:3], weight, "float32")
        np.testing.assert_allclose(
            values(loss, (true, mask), pred),
            values(loss, true, pred),
            rtol=1e-5,
        )


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_hidden_is_of_no_account(name, pair):
    true, pred = pair
    loss, mask = LOSSES[name](), half(true)
    expected = values(loss, (true, mask), pred)
    assert np.all(expected > 0)
    other_true, other_pred = true.copy(), pred.copy()
    other_true[:, :, 10:] = np.nan
    other_pred[:, :, 10:] = 7.0
    found = values(loss, (other_true, mask), other_pred)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    (gradient,) = checks.gradients(lambda x: loss(true, x, mask), pred)
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient[:, :, :10] != 0)
    np.testing.assert_array_equal(gradient[:, :, 10:], 0)


@pytest.mark.parametrize("name", LOSSES)
def test_where_nothing_is_seen_it_is_zero(name, pair):
    true, pred = pair
    loss, mask = LOSSES[name](), np.zeros(true.shape[:3], "float32")
    np.testing.assert_array_equal(values(loss, (true, mask), pred), 0)
    (gradient,) = checks.gradients(lambda x: loss(true, x, mask), pred)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("name", ["charbonnier", "variation", "isotropic"])
def test_equals_a_crop(name, pair):
    """Where nothing reaches from one half to the other."""
    true, pred = pair
    loss, mask = LOSSES[name](), half(true)
    # The difference across the border is none of the pixels that count.
    np.testing.assert_allclose(
        values(loss, (true, mask), pred),
        values(loss, true[:, :, :10], pred[:, :, :10]),
        rtol=1e-5,
    )


@pytest.mark.parametrize("make", [kp.CharbonnierLoss, kp.FocalFrequencyLoss])
def test_a_constant_error_costs_the_same_under_any_mask(make, pair, rng):
    true = pair[0]
    loss = make() if make is kp.CharbonnierLoss else make(alpha=0)
    mask = rng.uniform(size=true.shape[:3]).astype("float32")
    np.testing.assert_allclose(
        values(loss, (true, mask), true + 0.5),
        values(loss, true, true + 0.5),
        rtol=1e-4,
    )


@pytest.mark.parametrize("name", LOSSES)
def test_other_layouts_and_ranges(name, pair):
    true, pred = pair
    mask = half(true)
    expected = values(LOSSES[name](), (true, mask), pred)
    found = values(
        LOSSES[name](value_range=(-3, 5)), (8 * true - 3, mask), 8 * pred - 3
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    first = LOSSES[name](data_format="channels_first")
    true, pred = (np.moveaxis(x, -1, 1) for x in pair)
    found = values(first, (true, mask), pred)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_usual_pair_trains_with_a_mask(pair):
    """Pixels and edges of MPRNet, with weights of pixels from the data."""
    true, pred = pair
    loss = kp.WeightedSumLoss(
        {
            "pixels": kp.CharbonnierLoss(),
            "edges": (kp.SobelGradientLoss.preset("mprnet"), 0.05),
        }
    )
    model = keras.Sequential([keras.Input((24, 20, 3)), kp.LookupColorLayer(3)])
    model.compile("sgd", loss)
    broken = true.copy()
    broken[:, :, 10:] = np.nan
    history = model.fit(
        pred, broken, sample_weight=half(true), verbose=0, batch_size=2
    )
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.slow
def test_negative_weights_are_told(pair):
    """They would reward errors; -1 marks what to ignore elsewhere."""
    true, pred = pair
    labels = half(true) * 2 - 1
    loss = kp.CharbonnierLoss(check_range="raise")
    expected = (
        "weights of at least 0 .* `mask >= 0`.* Received: mask from -1 to"
    )
    with pytest.raises(ValueError, match=expected):
        loss((true, labels), pred)
    model = keras.Sequential([keras.Input((24, 20, 3)), kp.LookupColorLayer(3)])
    model.compile("sgd", kp.CharbonnierLoss())
    with pytest.warns(UserWarning, match="mask holds values down to -1"):
        model.fit(pred, true, sample_weight=labels, verbose=0)
