"""What `added_weight` does: the same network between smooth and sharp.

A small network takes noise away, as in which_loss.py. From one start it goes on
with the mean absolute error alone, and beside it with the features of AlexNet
that the photograph has and the picture lacks (`distance="lost"`), with one
weight after the other for what is added. All terms of features are weighted
alike, so that at the start the plain squared differences are worth five times
as much as the pixels. Printed are means over parts of photographs that the
network has not seen: PSNR, LPIPS, and how sharp the pictures are, the mean size
of their slopes by that of the photographs. It takes ten minutes on two cores.

    pip install -e ".[examples]"
    python benchmarks/smooth_to_sharp.py
"""

import argparse
import pathlib
import tempfile

import keras
import numpy as np
from keras import ops
from matplotlib import pyplot
from which_loss import (
    BATCH,
    EPOCHS,
    PART,
    PARTS,
    TASKS,
    build_network,
    cut_crops,
    load_photographs,
    peak_signal_to_noise_ratio,
    start_of,
    train,
    weigh,
)

import keras_perceptual as kp

WEIGHTS = (1.0, 0.3, 0.1, 0.0)
PICTURE = pathlib.Path(__file__).with_suffix(".png")
# What is drawn: the part, and of it the top, the left and the side.
DRAWN = (0, 32, 20, 64)


def sharpness(images):
    """Returns the mean size of the slopes of each image."""
    slopes = kp.ops.gradient_magnitude(*kp.ops.image_gradients(images))
    return ops.convert_to_numpy(ops.mean(slopes, axis=(1, 2, 3)))


def features(added_weight):
    """Returns the loss on what is lost of the features."""
    return kp.PerceptualLoss(
        "alexnet", distance="lost", added_weight=added_weight
    )


def denoise(start, crops, noisy, shown, weight):
    """Returns what a network makes of pictures after it has been trained."""
    names = ["MAE"] if weight is None else ["MAE", "features"]
    losses = {
        "MAE": keras.losses.MeanAbsoluteError(),
        "features": features(weight or 0.0),
    }
    targets = {name: crops for name in losses}
    outputs = ops.convert_to_numpy(start(noisy[:16]))
    plain = {**losses, "features": features(1.0)}
    found = weigh(plain, targets, crops[:16], outputs)
    network = build_network()
    network.set_weights(start.get_weights())
    keras.utils.set_random_seed(50)
    train(
        network,
        {name: losses[name] for name in names},
        found,
        noisy,
        targets,
        epochs=EPOCHS,
        batch_size=BATCH,
    )
    return np.clip(network.predict(shown, verbose=0), 0, 1)


def draw(pictures, path):
    """Draws a part of each picture, side by side."""
    index, top, left, side = DRAWN
    figure, axes = pyplot.subplots(
        1, len(pictures), figsize=(1.5 * len(pictures), 1.9)
    )
    for axis, (name, images) in zip(axes, pictures.items(), strict=True):
        part = images[index, top : top + side, left : left + side]
        axis.imshow(np.clip(part, 0, 1), interpolation="nearest")
        axis.set_title(name, fontsize=8)
        axis.set_axis_off()
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def main():
    """Trains, prints a table and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, default=160)
    parser.add_argument("--picture", type=pathlib.Path, default=PICTURE)
    options = parser.parse_args()
    photographs = load_photographs()
    truth = np.stack(
        [
            photographs[name][top : top + PART, left : left + PART]
            for name, top, left in PARTS
        ]
    )
    held_out = {name for name, _, _ in PARTS}
    known = [x for name, x in photographs.items() if name not in held_out]
    degrade = TASKS["denoising"]
    shown = degrade(truth, np.random.default_rng(0))
    crops = cut_crops(known, options.crops, seed=30)
    noisy = degrade(crops, np.random.default_rng(40))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "start.weights.h5"
        start = start_of("denoising", 0, known, path)
    judge = kp.LPIPS()
    pictures = {"noisy": shown}
    print("| trained on | PSNR | LPIPS | sharpness |")
    print("| --- | --- | --- | --- |")
    for weight in (None, *WEIGHTS):
        name = "MAE" if weight is None else f"added_weight={weight:g}"
        images = denoise(start, crops, noisy, shown, weight)
        pictures[name] = images
        print(
            f"| {name} | {peak_signal_to_noise_ratio(truth, images).mean():.2f}"
            f" | {float(judge(truth, images)):.3f}"
            f" | {np.mean(sharpness(images) / sharpness(truth)):.2f} |",
            flush=True,
        )
    draw({**pictures, "photograph": truth}, options.picture)


if __name__ == "__main__":
    main()
