"""Frozen networks and the features they see in an image."""

from keras_perceptual.features.extractor import (
    FeatureExtractor as FeatureExtractor,
)
