"""Callbacks for `model.fit`."""

from keras_perceptual.callbacks.gradient_monitor import GradientMonitor
from keras_perceptual.callbacks.gradient_sanity_callback import (
    GradientSanityCallback,
)
from keras_perceptual.callbacks.image_logger import ImageLogger
from keras_perceptual.callbacks.step_replay import ReplayedStep, replay

__all__ = [
    "GradientMonitor",
    "GradientSanityCallback",
    "ImageLogger",
    "ReplayedStep",
    "replay",
]


def __dir__() -> list[str]:
    return __all__
