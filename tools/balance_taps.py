"""Measures the table in keras_perceptual/features/balance.py.

Photographs that scikit-image ships and that are in the public domain (or CC0)
are distorted in five ways at three strengths each. For every tap of a packaged
network, the mean of each distance over all pairs of a photograph and its
distorted copy is printed as the Python table that the module holds.

    pip install -e ".[examples]"
    python tools/balance_taps.py
"""

import io

import numpy as np
import skimage.data
import skimage.filters
from PIL import Image

from keras_perceptual.features import FeatureExtractor
from keras_perceptual.ops.distances import (
    FEATURE_DISTANCES,
    feature_distance,
    unit_normalize,
)
from keras_perceptual.ops.gram import gram_matrix

# NASA photographs in the public domain; the others are CC0.
PHOTOGRAPHS = ("astronaut", "hubble_deep_field", "chelsea", "coffee", "rocket")
SIDE = 256
TAPS = {
    "vgg16": ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3"),
    "alexnet": ("conv1", "conv2", "conv3", "conv4", "conv5"),
}


def photographs():
    """Returns the middle of each photograph, as floats in (0, 1)."""
    crops = []
    for name in PHOTOGRAPHS:
        image = getattr(skimage.data, name)()
        top = (image.shape[0] - SIDE) // 2
        left = (image.shape[1] - SIDE) // 2
        crops.append(image[top : top + SIDE, left : left + SIDE] / 255.0)
    return crops


def compress(image, quality):
    """Returns an image as it is after being saved as JPEG."""
    file = io.BytesIO()
    pixels = Image.fromarray(np.round(image * 255).astype("uint8"))
    pixels.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)) / 255.0


def distortions(image, rng):
    """Yields an image distorted in five ways, at three strengths each."""
    for sigma in (0.7, 1.5, 3.0):
        yield skimage.filters.gaussian(image, sigma, channel_axis=-1)
    for quality in (60, 25, 8):
        yield compress(image, quality)
    for sigma in (0.02, 0.06, 0.15):
        yield np.clip(image + rng.normal(0, sigma, image.shape), 0, 1)
    for gain in (0.85, 0.65, 0.4):
        yield image.mean() + gain * (image - image.mean())
    for shift in (0.03, 0.08, 0.18):
        yield np.clip(image + shift, 0, 1)


def measure(backbone, taps):
    """Returns the mean of each distance at each tap of a network."""
    extractor = FeatureExtractor(backbone, taps)
    rng = np.random.default_rng(0)
    found = {tap: {} for tap in taps}
    for image in photographs():
        for distorted in distortions(image, rng):
            pair = np.stack([image, distorted]).astype("float32")
            for tap, features in extractor(pair).items():
                for prefix, x in (
                    ("", features),
                    ("normalized_", unit_normalize(features)),
                ):
                    a, b = x[:1], x[1:]
                    values = {
                        kind: feature_distance(kind, a, b)
                        for kind in FEATURE_DISTANCES
                    }
                    values["gram"] = feature_distance(
                        "mse", gram_matrix(a), gram_matrix(b)
                    )
                    for kind, value in values.items():
                        found[tap].setdefault(prefix + kind, []).append(
                            float(np.asarray(value)[0])
                        )
    return {
        tap: {kind: np.mean(values) for kind, values in columns.items()}
        for tap, columns in found.items()
    }


def main():
    """Prints the table."""
    print("MEAN_DISTANCES = {")
    for backbone, taps in TAPS.items():
        print(f'    ("{backbone}", "torchvision"): {{')
        for tap, columns in measure(backbone, taps).items():
            print(f'        "{tap}": {{')
            for kind, value in columns.items():
                print(f'            "{kind}": {value:.4g},')
            print("        },")
        print("    },")
    print("}")


if __name__ == "__main__":
    main()
