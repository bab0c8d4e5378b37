"""Callbacks for `model.fit`."""

from keras_perceptual.callbacks.gradient_sanity_callback import (
    GradientSanityCallback as GradientSanityCallback,
)
