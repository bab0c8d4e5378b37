"""Does a long training take more and more memory?

    python benchmarks/long_run.py --backend tensorflow

trains a small network with one of everything that a step can go through, for
10,000 steps, and prints the resident memory on the way: the first thousand
steps pay for what is traced and cached, and nothing should come after them.
Epochs are short, so that what happens at their ends happens often. With
`--fits 20` the steps are those of 20 calls of `fit`, each with a gradient
check, which traces the step anew.

    python benchmarks/long_run.py --sizes 300 --images 10000

trains on a stream of images of so many sizes, from 17 to 64 pixels a side, four
to a batch, and prints memory and processor seconds of each epoch.
"""

import argparse
import os
import pathlib
import time

STEPS_OF_AN_EPOCH = 100


def resident():
    """Returns the resident memory of this process in megabytes."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("VmRSS is not in /proc/self/status")


def make_model(side):
    import keras

    import keras_perceptual as kp

    photos = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(3, 3, padding="same")(photos)
    x = kp.AdaptiveLookupColorLayer(
        5,
        2,
        backbone=keras.layers.GlobalAveragePooling2D(),
        mix_regularizer=keras.regularizers.L2(1e-4),
    )(x)
    x = kp.LookupColorLayer(
        5,
        shaper_size=5,
        table_regularizer=kp.TableSmoothness(),
        table_constraint=kp.MonotonicTable(),
    )(x)
    looks = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(8, 3, activation="relu", name="near"),
            keras.layers.Conv2D(8, 3, 2, activation="relu", name="far"),
        ]
    )
    loss = kp.WeightedSumLoss(
        {
            "pixels": kp.CharbonnierLoss(),
            "features": kp.PerceptualLoss(looks, ["near", "far"]),
            "edges": (kp.SobelGradientLoss(), 0.05),
            "depths": (kp.SobelGradientLoss.preset("midas"), 0.05),
            "structure": (kp.SSIMLoss(filter_size=7), 0.1),
            "frequencies": (kp.FocalFrequencyLoss(), 0.1),
            "variation": (kp.TotalVariationLoss(), 1e-3),
            "colors": (kp.ColorDifferenceLoss(), 1e-3),
        }
    )
    model = keras.Model(photos, x)
    model.compile(
        keras.optimizers.Adam(1e-4),
        loss,
        metrics=[
            kp.LossTerms(loss),
            kp.ImageLossMetric(kp.SobelGradientLoss("l2"), name="slopes"),
            kp.PSNRMetric(),
        ],
    )
    return model


def stream_sizes(arguments):
    """Trains on a stream of images of many sizes."""
    import keras
    import numpy as np

    import keras_perceptual as kp

    rng = np.random.default_rng(0)
    noise = rng.random((4, 64, 64, 3), dtype="float32")
    places = rng.choice(48 * 48, arguments.sizes, replace=False)
    sides = [(17 + place // 48, 17 + place % 48) for place in places]

    def stream():
        while True:
            for index in rng.permutation(arguments.sizes):
                height, width = sides[index]
                x = noise[:, :height, :width]
                yield x, x**2

    class Watch(keras.callbacks.Callback):
        """Prints what each epoch takes."""

        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.process_time()

        def on_epoch_end(self, epoch, logs=None):
            seconds = time.process_time() - self.began
            print(f"{epoch + 1:5d}  {resident():11.1f}  {seconds:7.1f}")

    print("epoch  MB resident  processor seconds", flush=True)
    checks = [] if arguments.no_check else [kp.GradientSanityCallback()]
    make_model(None).fit(
        stream(),
        steps_per_epoch=arguments.images // 4,
        shuffle=False,
        epochs=arguments.epochs,
        verbose=0,
        callbacks=[*checks, Watch()],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--backend",
        default="tensorflow",
        choices=("tensorflow", "jax", "torch"),
    )
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--fits", type=int, default=1)
    parser.add_argument("--no-check", action="store_true")
    parser.add_argument("--sizes", type=int, default=0)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    if arguments.steps < 1000 or arguments.steps % (
        arguments.fits * STEPS_OF_AN_EPOCH
    ):
        parser.error(
            f"--steps has to be 1000 or more and {STEPS_OF_AN_EPOCH} times a "
            f"multiple of --fits. Received: --steps {arguments.steps} "
            f"--fits {arguments.fits}"
        )
    os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    if arguments.sizes:
        stream_sizes(arguments)
        return

    import keras
    import numpy as np

    import keras_perceptual as kp

    class Watch(keras.callbacks.Callback):
        """Prints the memory every 1,000 steps."""

        steps = 0
        memory = ()

        def on_epoch_end(self, epoch, logs=None):
            self.steps += STEPS_OF_AN_EPOCH
            if self.steps % 1000 == 0:
                self.memory += (resident(),)
                seconds = time.perf_counter() - began
                print(
                    f"{self.steps:5d}  {self.memory[-1]:11.1f}  {seconds:7.0f}",
                    flush=True,
                )

    size = 2 * STEPS_OF_AN_EPOCH
    side = arguments.side
    x = np.random.default_rng(0).random((size, side, side, 3), dtype="float32")
    model, watch = make_model(side), Watch()
    checks = [] if arguments.no_check else [kp.GradientSanityCallback()]
    began = time.perf_counter()
    print("steps  MB resident  seconds")
    for _ in range(arguments.fits):
        model.fit(
            x,
            x**2,
            batch_size=2,
            epochs=arguments.steps // STEPS_OF_AN_EPOCH // arguments.fits,
            verbose=0,
            callbacks=[*checks, watch],
        )
    print(
        f"{arguments.backend}: {watch.memory[-1] - watch.memory[0]:+.1f} MB "
        "after the first 1000 steps"
    )


if __name__ == "__main__":
    main()
