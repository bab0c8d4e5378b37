"""Pairs of photographs and distorted copies that are the same everywhere.

The photographs are parts of those that scikit-image ships, in the public
domain or CC0. The distortions need NumPy alone and end in whole eight-bit
values, so that no rounding of the machine is left in a pair.
"""

import functools
import hashlib

import numpy as np

# Name in scikit-image, and top, left, height and width of the part.
# NASA's photographs (astronaut) are in the public domain; the others are CC0.
PHOTOGRAPHS = {
    "astronaut_64x64": ("astronaut", 96, 192, 64, 64),
    "rocket_75x101": ("rocket", 200, 290, 75, 101),
    "coffee_128x128": ("coffee", 130, 220, 128, 128),
    "chelsea_256x256": ("chelsea", 20, 80, 256, 256),
    "chelsea_300x451": ("chelsea", 0, 0, 300, 451),
}


def shift(image):
    """Moves the pixels one down and two to the right, and fades them."""
    return 0.1 + 0.8 * np.roll(image, (1, 2), axis=(0, 1))


def noise(image):
    """Adds Gaussian noise of standard deviation 0.1, always the same."""
    return image + 0.1 * np.random.default_rng(0).standard_normal(image.shape)


def blur(image):
    """Averages five by five pixels; the edge goes on beyond the border."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "edge")
    rows = sum(padded[i : i + height] for i in range(5))
    return sum(rows[:, i : i + width] for i in range(5)) / 25


def quantize(image):
    """Leaves eight evenly spaced values of each channel."""
    return np.round(image * 7) / 7


DISTORTIONS = {
    "shift": shift,
    "noise": noise,
    "blur": blur,
    "quantize": quantize,
}


@functools.cache
def photograph(name):
    """Returns a photograph as a uint8 array, (height, width, 3)."""
    from skimage import data

    source, top, left, height, width = PHOTOGRAPHS[name]
    whole = getattr(data, source)()
    return whole[top : top + height, left : left + width]


def distorted(name, distortion):
    """Returns a distorted copy of a photograph as a uint8 array."""
    image = DISTORTIONS[distortion](photograph(name) / 255.0)
    return np.round(255 * np.clip(image, 0, 1)).astype("uint8")


def pair(name, distortion):
    """Returns `(photograph, distorted copy)`, float32 in (0, 1), batch of 1."""
    return tuple(
        image[None].astype("float32") / np.float32(255)
        for image in (photograph(name), distorted(name, distortion))
    )


def fingerprint(name, distortion):
    """Returns a short hash of both images of a pair."""
    digest = hashlib.sha256(photograph(name).tobytes())
    digest.update(distorted(name, distortion).tobytes())
    return digest.hexdigest()[:16]
