"""Each loss between images, small enough for small images."""

import functools

import keras

import keras_perceptual as kp


def small_network():
    inputs = keras.Input((None, None, 3))
    outputs = keras.layers.Conv2D(4, 3, activation="silu")(inputs)
    return keras.Model(inputs, outputs)


LOSSES = {
    "CharbonnierLoss": kp.CharbonnierLoss,
    "ColorDifferenceLoss": kp.ColorDifferenceLoss,
    "ContextualLoss": lambda **kwargs: kp.ContextualLoss(
        "alexnet", layers=["relu1"], max_features=16, **kwargs
    ),
    "DISTS": kp.DISTS,
    "FocalFrequencyLoss": kp.FocalFrequencyLoss,
    "HaarPSILoss": kp.HaarPSILoss,
    "LPIPS": kp.LPIPS,
    "MDSILoss": kp.MDSILoss,
    "MSSSIMLoss": lambda **kwargs: kp.MSSSIMLoss(
        weights=(0.5, 0.5), filter_size=5, **kwargs
    ),
    "PerceivedDistance": kp.PerceivedDistance,
    "PerceptualLoss": lambda **kwargs: kp.PerceptualLoss(
        small_network(), style_weight=1.0, **kwargs
    ),
    "SSIMLoss": kp.SSIMLoss,
    "SobelGradientLoss": kp.SobelGradientLoss,
    "TotalVariationLoss": kp.TotalVariationLoss,
    "WaveletLoss": kp.WaveletLoss,
}


@functools.cache
def loss_of(name):
    """Returns the same loss every time: its network is built once."""
    return LOSSES[name]()
