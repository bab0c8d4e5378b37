"""What it costs to hold the shares of gradients, and how well they are held.

A network of the size of SRResNet (16 residual blocks of 64 channels) enlarges
parts of photographs to twice the size. It is trained on the same terms with
weights that are fixed and with `balance="gradient"`; the two take turns, step
by step, so that what else the machine does hits both alike. Printed are medians
of the processor time of a step, their ratio, and what each term had of the
gradient in the steps after the first fifty. It takes five minutes on two cores.

    pip install -e ".[examples]"
    python benchmarks/balanced_sum.py
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import skimage.data
from keras import layers, ops

import keras_perceptual as kp

SIDE = 48
SHARES = {
    "edges": {"pixels": 0.3, "others": 0.7},
    "AlexNet": {"pixels": 0.2, "others": 0.8},
    "VGG16": {"pixels": 0.2, "others": 0.8},
}
TERMS = {
    "edges": kp.SobelGradientLoss,
    "AlexNet": lambda: kp.PerceptualLoss("alexnet"),
    "VGG16": kp.PerceptualLoss,
}


def build_network(filters=64, blocks=16):
    """Returns a network that enlarges to twice the size."""

    def convolve(x, filters, **options):
        return layers.Conv2D(filters, 3, padding="same", **options)(x)

    inputs = keras.Input((SIDE // 2, SIDE // 2, 3))
    x = first = convolve(inputs, filters, activation="relu")
    for _ in range(blocks):
        change = convolve(x, filters, activation="relu")
        x = layers.Add()([x, convolve(change, filters)])
    x = layers.Add()([first, convolve(x, filters)])
    x = convolve(layers.UpSampling2D()(x), filters, activation="relu")
    small = keras.initializers.RandomNormal(stddev=1e-2)
    change = convolve(x, 3, kernel_initializer=small)
    enlarged = layers.UpSampling2D(interpolation="bilinear")(inputs)
    return keras.Model(inputs, layers.Add()([enlarged, change]))


def load_pairs(count):
    """Returns small images, and the large ones that they were made from."""
    random = np.random.default_rng(0)
    photographs = [
        getattr(skimage.data, name)()
        for name in ("astronaut", "chelsea", "coffee", "rocket")
    ]
    large = []
    for index in range(count):
        image = photographs[index % len(photographs)]
        top, left = (random.integers(0, n - SIDE + 1) for n in image.shape[:2])
        large.append(image[top : top + SIDE, left : left + SIDE] / 255.0)
    large = np.stack(large).astype("float32")
    return ops.convert_to_numpy(ops.average_pool(large, 2, 2)), large


def compiled(name, balanced, watched):
    """Returns a model to train on pixels and another term."""
    keras.utils.set_random_seed(0)
    options = (
        {"balance": "gradient", "shares": SHARES[name]} if balanced else {}
    )
    loss = kp.WeightedSumLoss(
        {"pixels": "mae", "others": (TERMS[name](), 0.1)}, **options
    )
    model = build_network()
    model.compile("adam", loss, metrics=[kp.LossTerms(loss, gradients=watched)])
    return model


def measure_time(name, options):
    """Returns the medians of the seconds of a step, fixed and balanced."""
    models = [compiled(name, balanced, False) for balanced in (False, True)]
    small, large = load_pairs(options.batch)
    times = [[], []]
    for step in range(options.steps + 2):
        for index, model in enumerate(models):
            start = time.process_time()
            model.train_on_batch(small, large)
            if step > 1:
                times[index].append(time.process_time() - start)
    return [statistics.median(of_one) for of_one in times]


def measure_shares(name, options):
    """Returns the mean share of the pixels in fifty steps after fifty."""
    model = compiled(name, True, True)
    small, large = load_pairs(50 * options.batch)
    history = model.fit(
        small, large, batch_size=options.batch, epochs=3, verbose=0
    ).history
    return history["pixels_share"][1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument(
        "--terms", nargs="*", choices=TERMS, default=list(TERMS)
    )
    parser.add_argument("--no-times", action="store_true")
    options = parser.parse_args()
    for name in options.terms:
        if not options.no_times:
            fixed, balanced = measure_time(name, options)
            print(
                f"MAE + {name}: a step {1e3 * fixed:.0f} ms fixed, "
                f"{1e3 * balanced:.0f} ms balanced, "
                f"ratio {balanced / fixed:.3f}",
                flush=True,
            )
        asked = SHARES[name]["pixels"]
        shares = " ".join(f"{x:.4f}" for x in measure_shares(name, options))
        print(
            f"MAE + {name}: share of the MAE {asked} asked, {shares} had in "
            "steps 51 to 100 and 101 to 150",
            flush=True,
        )


if __name__ == "__main__":
    main()
