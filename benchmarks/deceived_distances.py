"""By what distances can be deceived.

Photographs are blurred or compressed, and then something is done to the result
that brings nothing back: contrast is raised or lowered, edges are sharpened,
noise is added, colors are shifted, or single pixels are moved by at most four
of 255 values, all of them so as to lower the distance that is named in the row.
Printed is the distance to the photograph after it, as a share of what it was
before (below 1: better to that distance), and how many decibels of PSNR it
cost; means over photographs that scikit-image ships. It takes two minutes on
two cores.

    pip install -e ".[examples]"
    python benchmarks/deceived_distances.py
"""

import argparse
import io
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import scipy.ndimage
import skimage.data
from loss_costs import compiled_gradient
from PIL import Image

import keras_perceptual as kp

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
SIDE = 256
DISTANCES = {
    "PerceivedDistance()": kp.PerceivedDistance,
    'PerceivedDistance(size="small")': (
        lambda: kp.PerceivedDistance(size="small")
    ),
    "PerceivedDistance(forgive_gain=False)": (
        lambda: kp.PerceivedDistance(forgive_gain=False)
    ),
    'LPIPS("alexnet")': kp.LPIPS,
    "DISTS()": kp.DISTS,
    "1 - SSIM": kp.SSIMLoss,
}
# How far pixels are moved, and in how many steps.
MOST, STEPS = 4 / 255, 10


def photographs():
    """Returns the middle of each photograph, (n, height, width, 3)."""
    found = []
    for name in PHOTOGRAPHS:
        image = getattr(skimage.data, name)()
        top, left = ((side - SIDE) // 2 for side in image.shape[:2])
        found.append(image[top : top + SIDE, left : left + SIDE])
    return np.float32(found) / np.float32(255)


def blur(images, sigma=1.0):
    """Blurs with a Gaussian."""
    return scipy.ndimage.gaussian_filter(images, (0, sigma, sigma, 0))


def compress(images, quality=20):
    """Saves as JPEG and reads again."""
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(np.round(255 * image).astype("uint8")).save(
            file, "JPEG", quality=quality
        )
        found.append(np.asarray(Image.open(file)) / np.float32(255))
    return np.stack(found)


DAMAGES = {"blur": blur, "JPEG": compress}


def gain(images, factor):
    """Changes the contrast around the mean."""
    mean = images.mean((1, 2, 3), keepdims=True)
    return mean + factor * (images - mean)


def sharpen(images, amount):
    """Adds what a blur of 1.5 pixels takes away."""
    return images + amount * (images - blur(images, 1.5))


def add_noise(images, sigma):
    """Adds noise, the same in every run."""
    random = np.random.default_rng(0)
    return images + sigma * random.normal(size=images.shape)


def cast(images, shift):
    """Adds red and takes blue."""
    return images + shift * np.array([1, 0, -1])


TRICKS = {
    "contrast x 1.1": lambda x: gain(x, 1.1),
    "contrast x 1.25": lambda x: gain(x, 1.25),
    "contrast x 0.8": lambda x: gain(x, 0.8),
    "sharpened by 0.5": lambda x: sharpen(x, 0.5),
    "sharpened by 1": lambda x: sharpen(x, 1.0),
    "noise of 0.01": lambda x: add_noise(x, 0.01),
    "noise of 0.03": lambda x: add_noise(x, 0.03),
    "color cast of 0.03": lambda x: cast(x, 0.03),
}


def move_pixels(loss, photos, images):
    """Moves pixels a little, all in the direction that a loss likes."""
    gradient = compiled_gradient(loss)
    moved, photos = images, keras.ops.convert_to_tensor(photos)
    for _ in range(STEPS):
        slopes = gradient(photos, keras.ops.convert_to_tensor(moved))
        slopes = keras.ops.convert_to_numpy(slopes)
        moved = moved - 2 * MOST / STEPS * np.sign(slopes)
        moved = np.clip(moved, images - MOST, images + MOST)
        moved = np.clip(moved, 0, 1).astype("float32")
    return moved


def peak_ratio(photos, images):
    """Returns the mean PSNR in decibels."""
    error = np.mean((np.float64(photos) - images) ** 2, (1, 2, 3))
    return np.mean(-10 * np.log10(error))


def main():
    """Prints a table for each damage."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    losses = {name: make() for name, make in DISTANCES.items()}
    photos = photographs()
    for damage, function in DAMAGES.items():
        damaged = np.float32(function(photos))
        tricks = {
            name: np.clip(trick(damaged), 0, 1).astype("float32")
            for name, trick in TRICKS.items()
        }
        for name in ("PerceivedDistance()", 'LPIPS("alexnet")'):
            key = f"pixels moved for `{name}`"
            tricks[key] = move_pixels(losses[name], photos, damaged)
        before = {
            name: np.float64(
                keras.ops.convert_to_numpy(loss.per_image(photos, damaged))
            )
            for name, loss in losses.items()
        }
        print(f"\n| {damage}, then | PSNR |", *(f"`{x}` |" for x in losses))
        print("| --- | --- |" + " --- |" * len(losses))
        for trick, images in tricks.items():
            change = peak_ratio(photos, images) - peak_ratio(photos, damaged)
            cells = [f"{change:+.1f}"]
            for name, loss in losses.items():
                after = keras.ops.convert_to_numpy(
                    loss.per_image(photos, images)
                )
                cells.append(f"{np.mean(after / before[name]):.2f}")
            print(f"| {trick} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
