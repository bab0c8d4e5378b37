"""Where two images differ, by every loss that looks at places."""

import keras
import numpy as np
import pytest
from keras import ops
from small_losses import LOSSES, loss_of

import keras_perceptual as kp

MAPPED = {
    "charbonnier": kp.CharbonnierLoss,
    "variation": kp.TotalVariationLoss,
    "isotropic": lambda **k: kp.TotalVariationLoss("isotropic", **k),
    "edges": kp.SobelGradientLoss,
    "edges without padding": lambda **k: kp.SobelGradientLoss(
        padding="valid", operator="forward", **k
    ),
    "edges at scales": lambda **k: kp.SobelGradientLoss(scales=2, **k),
    "mprnet": lambda **k: kp.SobelGradientLoss.preset("mprnet", **k),
    "haar psi": lambda **k: kp.HaarPSILoss(subsample=False, **k),
    "wavelets": lambda **k: kp.WaveletLoss("haar", **k),
    "ssim": lambda **k: kp.SSIMLoss(filter_size=5, **k),
    "ssim of an even window": lambda **k: kp.SSIMLoss(filter_size=4, **k),
}
# Whose mean over the places is the loss.
AVERAGED = (
    "charbonnier",
    "variation",
    "isotropic",
    "edges",
    "mprnet",
    "haar psi",
    "wavelets",
)


@pytest.fixture
def pair(rng):
    return rng.uniform(size=(2, 2, 24, 20, 3)).astype("float32")


def shown(loss, *images):
    return ops.convert_to_numpy(loss.spatial_map(*images))


@pytest.mark.parametrize("name", MAPPED)
def test_has_the_size_of_the_images_in_either_layout(name, pair):
    found = shown(MAPPED[name](), *pair)
    assert found.shape == (2, 24, 20)
    assert np.all(np.isfinite(found))
    other = MAPPED[name](data_format="channels_first")
    np.testing.assert_allclose(
        shown(other, *np.moveaxis(pair, -1, 2)), found, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", AVERAGED)
def test_its_mean_is_the_loss(name, pair):
    loss = MAPPED[name]()
    np.testing.assert_allclose(
        shown(loss, *pair).mean((1, 2)),
        ops.convert_to_numpy(loss.per_image(*pair)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", [n for n in MAPPED if "variation" not in n])
def test_shows_the_place_of_a_difference(name, pair):
    if name == "isotropic":
        pytest.skip("It does not compare.")
    true = pair[0]
    pred = true.copy()
    pred[0, 12:15, 5:8] = 1 - pred[0, 12:15, 5:8]
    found = shown(MAPPED[name](), true, pred)
    row, column = np.unravel_index(found[0].argmax(), found[0].shape)
    assert 10 <= row <= 16
    assert 3 <= column <= 9
    np.testing.assert_allclose(found[0, :6, 12:], 0, atol=1e-5)
    np.testing.assert_allclose(found[1], 0, atol=1e-6)


def test_windows_stand_at_their_centers(pair):
    loss = kp.SSIMLoss(filter_size=5)
    found = shown(loss, *pair)
    inside = found[:, 2:-2, 2:-2]
    np.testing.assert_allclose(
        inside.mean((1, 2)),
        ops.convert_to_numpy(loss.per_image(*pair)),
        rtol=1e-5,
    )
    np.testing.assert_array_equal(found[:, 0], found[:, 2])
    np.testing.assert_array_equal(found[:, :, -1], found[:, :, -3])


def test_a_mask_is_left_out_and_no_image_has_no_map(pair):
    true, pred = pair
    loss = kp.CharbonnierLoss()
    mask = np.ones((2, 24, 20), "float32")
    np.testing.assert_array_equal(
        shown(loss, (true, mask), pred), shown(loss, true, pred)
    )
    assert shown(loss, true[:0], pred[:0]).shape == (0, 24, 20)


@pytest.mark.parametrize(
    "name", ["FocalFrequencyLoss", "MSSSIMLoss", "MDSILoss", "DISTS"]
)
def test_what_is_nowhere_in_particular_has_no_map(name, pair):
    assert name in LOSSES
    with pytest.raises(ValueError, match="has no map"):
        loss_of(name).spatial_map(*pair)


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="is about graphs"
)
def test_in_a_graph_of_unknown_sizes(pair):
    import tensorflow as tf

    for loss in (kp.CharbonnierLoss(), kp.SSIMLoss(filter_size=5)):
        mapped = tf.function(
            loss.spatial_map,
            input_signature=2 * [tf.TensorSpec((None, None, None, 3))],
        )
        np.testing.assert_allclose(
            mapped(*pair), shown(loss, *pair), rtol=1e-5, atol=1e-6
        )
