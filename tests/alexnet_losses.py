"""Perceptual losses on AlexNet in many settings, and images for them."""

import keras
import numpy as np

from keras_perceptual import PerceptualLoss

# Those in which encoded targets, values of layers and maps differ.
CONFIGS = [
    {},
    {"layers": ["relu1", "relu3"], "normalize_features": True},
    {"style_weight": 2.0, "style_layers": ["relu2"], "scales": 2},
    {"style_weight": 1.0, "content_weight": 0.0, "gram_normalization": "hw"},
    {"distance": "lost", "added_weight": 0.3, "layers": ["relu2"]},
    {"distance": "mae", "pooling": "average", "data_format": "channels_first"},
]


def alexnet(**kwargs):
    """Returns a loss on AlexNet, unless another backbone is asked for."""
    return PerceptualLoss(**{"backbone": "alexnet", **kwargs})


def label(config):
    """Returns the name of a test of some settings."""
    return "-".join(str(value) for value in config.values()) or "default"


def to_numpy(x):
    """Returns a tensor as an array."""
    return keras.ops.convert_to_numpy(x)


def pair_of(config, shape=(2, 64, 72, 3)):
    """Returns two batches of images, laid out as some settings ask for."""
    pair = np.random.default_rng(0).uniform(size=(2, *shape))
    if config.get("data_format") == "channels_first":
        pair = np.moveaxis(pair, -1, 2)
    return pair.astype("float32")


def corner_mask():
    """Returns masks of the left upper corner of such images."""
    mask = np.zeros((2, 64, 72), "float32")
    mask[:, :20, :24] = 1
    return mask
