"""What the gradient check costs once its batches are over.

Two equal models are fitted in one process, one with the callback and one
without. After the checked batches they take turns, a block of steps each, in
an order drawn by lot for every round. Printed is the ratio of the times, with
the callback over without it: the median of the rounds and the range in which
the middle half of them lies.
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
    """Lets the training run one block of steps whenever it is told to."""

    def __init__(self, block):
        super().__init__()
        self.block = block
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.left = 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.left == 0:
            self.done.release()
            self.go.acquire()
            self.left = self.block
        self.left -= 1

    def run_block(self):
        """Returns how long the next block of steps took, in seconds."""
        start = time.perf_counter()
        self.go.release()
        self.done.acquire()
        return time.perf_counter() - start


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


def start(callbacks, rounds, block, width):
    """Starts a training that waits for its turns."""
    turns = Turns(block)
    x = np.ones((64, width), "float32")
    y = np.ones((64, 1), "float32")

    def batches():
        while True:
            yield x, y

    thread = threading.Thread(
        target=make_model(width).fit,
        args=(batches(),),
        kwargs={
            "steps_per_epoch": (rounds + 2) * block + 1,
            "verbose": 0,
            "shuffle": False,
            "callbacks": [*callbacks, turns],
        },
        daemon=True,
    )
    thread.start()
    turns.done.acquire()
    # The checked batches and both traces are in the first two blocks.
    turns.run_block()
    turns.run_block()
    return turns


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--block", type=int, default=20, help="steps a block")
    parser.add_argument("--width", type=int, default=128)
    arguments = parser.parse_args()
    rounds, block, width = arguments.rounds, arguments.block, arguments.width

    trainings = {
        "with": start([GradientSanityCallback()], rounds, block, width),
        "without": start([], rounds, block, width),
    }
    ratios, times = [], {"with": [], "without": []}
    for _ in range(rounds):
        for name in random.sample(sorted(trainings), 2):
            times[name].append(trainings[name].run_block())
        ratios.append(times["with"][-1] / times["without"][-1])
    low, middle, high = statistics.quantiles(ratios, n=4)
    for name in trainings:
        step = statistics.median(times[name]) / block * 1e6
        print(f"{name:8} {step:8.1f} microseconds a step (median)")
    print(
        f"ratio    {middle:.4f} (middle half {low:.4f} to {high:.4f}, "
        f"{rounds} rounds of {block} steps, {keras.backend.backend()})"
    )


if __name__ == "__main__":
    main()
