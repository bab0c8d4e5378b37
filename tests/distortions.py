"""A photograph, and the same one more and more distorted."""

import functools
import io

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
        distortion: `"blur"`, `"noise"` or `"jpeg"`.
        size: Height and width of the images.
    """
    from skimage import filters

    photo = astronaut(size)
    if distortion == "blur":
        worse = [filters.gaussian(photo, (0, s, s, 0)) for s in (0.5, 1, 2, 4)]
    elif distortion == "jpeg":
        worse = [compress(photo, quality) for quality in (95, 75, 40, 10)]
    else:
        noise = np.random.default_rng(0).normal(size=photo.shape)
        worse = [
            np.clip(photo + s * noise, 0, 1) for s in (0.01, 0.03, 0.1, 0.3)
        ]
    return photo, [x.astype("float32") for x in worse]


def compress(photo, quality):
    """Returns a batch of one image as it is after being saved as JPEG."""
    from PIL import Image

    file = io.BytesIO()
    pixels = Image.fromarray(np.round(photo[0] * 255).astype("uint8"))
    pixels.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))[None] / np.float32(255)
