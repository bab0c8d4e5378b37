"""Layers."""

from keras_perceptual.layers.adaptive_lookup_color_layer import (
    AdaptiveLookupColorLayer,
)
from keras_perceptual.layers.image_distance import ImageDistance
from keras_perceptual.layers.lookup_color_layer import LookupColorLayer

__all__ = [
    "AdaptiveLookupColorLayer",
    "ImageDistance",
    "LookupColorLayer",
]


def __dir__() -> list[str]:
    return __all__
