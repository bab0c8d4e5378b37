"""Images that are equal in places: letterboxes, composites, saturated ones.

A compiler may compute twice what is about zero there, and round it to another
side each time; a gradient must not hang on the side.
"""

import checks
import keras
import numpy as np
import pytest
from sampling import sample

import keras_perceptual as kp

# Where it is something else than the usual compilation.
XLA = [False, True] if keras.backend.backend() == "tensorflow" else [False]
LOSSES = {
    "ssim": lambda **k: kp.SSIMLoss(filter_size=3, **k),
    "ssim 11": kp.SSIMLoss,
    "ms-ssim": lambda **k: kp.MSSSIMLoss((0.5, 0.5), filter_size=3, **k),
    "charbonnier": kp.CharbonnierLoss,
    "variation": kp.TotalVariationLoss,
    "isotropic variation": lambda **k: kp.TotalVariationLoss("isotropic", **k),
    "frequencies": kp.FocalFrequencyLoss,
    "haar psi": kp.HaarPSILoss,
    "mdsi": kp.MDSILoss,
    "wavelets": kp.WaveletLoss,
    "edges": kp.SobelGradientLoss,
    "normalized edges": lambda **k: kp.SobelGradientLoss(normalize=True, **k),
    "edges at scales": lambda **k: kp.SobelGradientLoss("l2", scales=3, **k),
    "magnitudes": lambda **k: kp.SobelGradientLoss(mode="magnitude", **k),
    "gdl": lambda **k: kp.SobelGradientLoss.preset("gdl", **k),
    "mprnet": lambda **k: kp.SobelGradientLoss.preset("mprnet", **k),
}


def composites(seed):
    """Returns two images that are equal in their left or upper half."""
    rng = np.random.default_rng(seed)
    true, pred = (rng.uniform(size=(1, 24, 24, 1)) for _ in range(2))
    half = (slice(None), slice(12)) if seed % 2 else (..., slice(12), 0)
    pred[half] = true[half] if seed % 3 else 1.0
    true[half] = pred[half]
    return true.astype("float32"), pred.astype("float32")


@pytest.mark.parametrize("xla", XLA)
@pytest.mark.parametrize("name", sample(list(LOSSES)))
def test_compiled_gradients_are_those_step_by_step(name, xla):
    loss = LOSSES[name]()
    step = checks.compiled_gradient(loss, xla)
    for seed in (1, 2, 3, 15, 16):
        true, pred = composites(seed)
        _, found = step(true, pred)
        (expected,) = checks.gradients(lambda x, y=true: loss(y, x), pred)
        np.testing.assert_allclose(
            found, expected, atol=1e-4 * np.abs(expected).max()
        )
