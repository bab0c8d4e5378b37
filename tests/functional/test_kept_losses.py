import checks
import keras
import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual.functional import kept_losses

BACKEND = keras.backend.backend()


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture
def pair(rng):
    return rng.uniform(size=(2, 2, 40, 36, 3)).astype("float32")


def test_a_network_is_built_once_for_equal_settings(pair, monkeypatch):
    monkeypatch.setattr(kept_losses, "_kept", kept_losses._kept.copy())
    kept_losses._kept.clear()
    for _ in range(2):
        kp.functional.lpips(*pair, weights="random")
    assert len(kept_losses._kept) == 1
    kp.functional.lpips(*pair, weights="random", linear_heads=False)
    # 1 and True are equal, and so are their hashes.
    kp.functional.charbonnier_loss(*pair, 1)
    kp.functional.charbonnier_loss(*pair, 1.0)
    assert len(kept_losses._kept) == 4
    monkeypatch.setattr(kept_losses, "MOST_KEPT", 2)
    kp.functional.ssim(*pair)
    assert len(kept_losses._kept) == 2


@pytest.mark.parametrize("setting", ["picture", "model"])
def test_settings_that_cannot_be_compared(pair, setting):
    style = pair[0, 0]
    settings = {"backbone": "alexnet", "layers": ["relu1"]}
    if setting == "picture":
        settings |= {"style_weight": 1.0, "style_image": style}
    else:
        inputs = keras.Input((None, None, 3))
        outputs = keras.layers.Conv2D(2, 3)(inputs)
        settings = {"backbone": keras.Model(inputs, outputs)}
    np.testing.assert_array_equal(
        numpy(kp.functional.perceptual_loss(*pair, **settings)),
        numpy(kp.PerceptualLoss(**settings).per_image(*pair)),
    )


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch traces nothing here")
def test_the_first_call_may_be_in_a_traced_function(pair, monkeypatch):
    """The network has its weights all the same."""
    monkeypatch.setattr(kept_losses, "_kept", kept_losses._kept.copy())
    kept_losses._kept.clear()
    _, gradient = checks.compiled_gradient(
        lambda x, y: keras.ops.sum(kp.functional.lpips(x, y))
    )(*pair)
    (expected,) = checks.gradients(
        lambda y: keras.ops.sum(kp.LPIPS().per_image(pair[0], y)), pair[1]
    )
    np.testing.assert_allclose(
        gradient, expected, atol=1e-4 * abs(expected).max()
    )
