"""A photograph, and the same one more and more distorted."""

import functools

import numpy as np


@functools.cache
def astronaut(size=192):
    """Returns a photograph of a face, shaped (1, size, size, 3), in (0, 1)."""
    from skimage import data

    photo = data.astronaut()[:size, 130 : 130 + size]
    return photo[None].astype("float32") / np.float32(255)


@functools.cache
def distorted(distortion, size=192):
    """Returns the photograph, and it distorted in four strengths.

    Args:
        distortion: `"blur"` or `"noise"`.
        size: Height and width of the images.
    """
    from skimage import filters

    photo = astronaut(size)
    if distortion == "blur":
        worse = [filters.gaussian(photo, (0, s, s, 0)) for s in (0.5, 1, 2, 4)]
    else:
        noise = np.random.default_rng(0).normal(size=photo.shape)
        worse = [
            np.clip(photo + s * noise, 0, 1) for s in (0.01, 0.03, 0.1, 0.3)
        ]
    return photo, [x.astype("float32") for x in worse]
