"""How much the losses mind that an image is a few pixels off.

A part of a photograph is compared with the part beside it, some pixels to the
right, and with itself blurred. Printed is how many times as much the move costs
as the blur, the mean over three photographs: what is above 1 takes a blurred
image for the better one. It takes less than a minute.

    pip install -e ".[examples]"
    python benchmarks/moved_images.py
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import scipy.ndimage
import skimage.data

import keras_perceptual as kp

LOSSES = {
    "MeanAbsoluteError()": keras.losses.MeanAbsoluteError,
    "SSIMLoss()": kp.SSIMLoss,
    "SobelGradientLoss()": kp.SobelGradientLoss,
    "PerceptualLoss()": kp.PerceptualLoss,
    'PerceptualLoss("alexnet")': lambda: kp.PerceptualLoss("alexnet"),
    'LPIPS("vgg16")': lambda: kp.LPIPS("vgg16"),
    'LPIPS("alexnet")': lambda: kp.LPIPS("alexnet"),
    "DISTS()": kp.DISTS,
    "ContextualLoss()": kp.ContextualLoss,
}
# Photograph, top and left of a part of 128 by 128 pixels.
PARTS = (("chelsea", 90, 100), ("coffee", 60, 200), ("astronaut", 50, 180))
PART = 128
MOVES = (1, 2, 4, 8)


def cut(photograph, top, left):
    """Returns a part of a photograph, as a batch of one image."""
    return photograph[None, top : top + PART, left : left + PART]


def relative_costs(loss, blur):
    """Returns what each move costs in comparison with the blur, by part."""
    found = []
    for name, top, left in PARTS:
        photograph = getattr(skimage.data, name)().astype("float32") / 255.0
        blurred = scipy.ndimage.gaussian_filter(photograph, (blur, blur, 0))
        truth = cut(photograph, top, left)
        reference = float(loss(truth, cut(blurred, top, left)))
        found.append(
            [
                float(loss(truth, cut(photograph, top, left + move)))
                / reference
                for move in MOVES
            ]
        )
    return found


def main():
    """Prints a table, a line for each loss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blur", type=float, default=1.5)
    options = parser.parse_args()
    print(f"| moved by, against a blur of sigma {options.blur} |", end="")
    print("".join(f" {move} px |" for move in MOVES))
    print("| --- |" + " --- |" * len(MOVES))
    for name, make in LOSSES.items():
        means = np.mean(relative_costs(make(), options.blur), axis=0)
        print(f"| `{name}` |" + "".join(f" {mean:.2f} |" for mean in means))


if __name__ == "__main__":
    main()
