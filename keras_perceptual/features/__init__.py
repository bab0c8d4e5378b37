"""Frozen networks and the features they see in an image."""

from keras_perceptual.features.extractor import FeatureExtractor

__all__ = [
    "FeatureExtractor",
]


def __dir__() -> list[str]:
    return __all__
