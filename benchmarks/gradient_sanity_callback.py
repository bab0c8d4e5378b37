"""What the gradient check costs once its batches are over.

Three equal models are fitted in one process, one with the callback and two
without, of which one is the control. After the checked batches they take
turns of one epoch each, in an order drawn by lot for every round. Printed are
the ratios of the times to that of the plain training: the median of the
rounds and the range in which the middle half of them lies. What the control
is off from one is noise. Times are those of the processor, all threads of the
process together, so that other work on the machine counts less.
"""

import argparse
import random
import statistics
import threading
import time

import keras
import numpy as np

from keras_perceptual.callbacks import GradientSanityCallback


class Turns(keras.callbacks.Callback):
    """Lets the training run one epoch whenever it is told to."""

    def __init__(self):
        super().__init__()
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)

    def on_epoch_begin(self, epoch, logs=None):
        self.done.release()
        self.go.acquire()

    def run_epoch(self):
        """Returns the processor time of the next epoch, in seconds."""
        start = time.process_time()
        self.go.release()
        self.done.acquire()
        return time.process_time() - start


def make_model(width):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((width,)),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    return model


def start(callbacks, rounds, steps, width):
    """Starts a training that waits for its turns."""
    turns = Turns()
    # Noise, of which the model has never learned all.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64 * steps, width)).astype("float32")
    y = rng.normal(size=(64 * steps, 1)).astype("float32")
    thread = threading.Thread(
        target=make_model(width).fit,
        args=(x, y),
        kwargs={
            "batch_size": 64,
            "epochs": rounds + 3,
            "verbose": 0,
            "shuffle": False,
            "callbacks": [*callbacks, turns],
        },
        daemon=True,
    )
    thread.start()
    turns.done.acquire()
    # The checked batches and both traces are in the first two epochs.
    turns.run_epoch()
    turns.run_epoch()
    return turns


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--steps", type=int, default=50, help="in an epoch")
    parser.add_argument("--width", type=int, default=128)
    arguments = parser.parse_args()
    rounds, steps, width = arguments.rounds, arguments.steps, arguments.width

    trainings = {
        name: start(callbacks, rounds, steps, width)
        for name, callbacks in {
            "plain": [],
            "callback": [GradientSanityCallback()],
            "control": [],
        }.items()
    }
    times = {name: [] for name in trainings}
    for _ in range(rounds):
        for name in random.sample(sorted(trainings), len(trainings)):
            times[name].append(trainings[name].run_epoch())
    step = statistics.median(times["plain"]) / steps * 1e6
    print(
        f"{keras.backend.backend()}: {step:.0f} microseconds a step, "
        f"{rounds} rounds of {steps} steps"
    )
    for name in ("callback", "control"):
        ratios = [
            one / other
            for one, other in zip(times[name], times["plain"], strict=True)
        ]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"{name:9} {middle:.4f} of the time without "
            f"(middle half {low:.4f} to {high:.4f})"
        )


if __name__ == "__main__":
    main()
