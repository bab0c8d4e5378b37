"""Callbacks for `model.fit`."""

from keras_perceptual.callbacks.gradient_sanity_callback import (
    GradientSanityCallback as GradientSanityCallback,
)
from keras_perceptual.callbacks.image_logger import ImageLogger as ImageLogger
