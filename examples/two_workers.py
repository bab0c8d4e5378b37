"""
Title: One network, two workers
Author: keras_perceptual developers
Date created: 2026/11/26
Last modified: 2026/11/26
Description: Trains on two processes as on two machines, with one command.
Accelerator: None

## Introduction

`tf.distribute.MultiWorkerMirroredStrategy` trains one network on several
machines: each has a copy, sees its part of every batch, and adds its gradients
to those of the others. Here the machines are two processes on this one, which
talk to each other on 127.0.0.1, so that everything can be tried before it costs
anything:

    python examples/two_workers.py

With real machines, each runs `--worker` with a `TF_CONFIG` that names all of
them, and nothing else changes.

The network takes noise off photographs, with a pixel loss, edges and the
features of AlexNet. `GradientSanityCallback` watches the first steps on both
workers: what it finds in the batch of one of them stops both, so that none
waits for ever. The first worker, the chief, shows the progress, saves the
network, loads it again and says what was gained on a photograph that was not
trained on. One run: 20.06 dB before and 24.96 dB after.

Two processes on the cores of one machine share them: this shows that two
machines would do the right thing, not how fast.

The photographs come with scikit-image and scikit-learn. Nothing is downloaded.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import skimage.data
import sklearn.datasets
import tensorflow as tf

import keras_perceptual

HOST = "127.0.0.1"
WORKERS = 2
SIDE = 48
NOISE = 0.1
HELD_OUT = "chelsea"

"""
## Starting the workers

Each is told by `TF_CONFIG` where all of them listen and which one it is. When
one fails, the other is ended: it would wait for its gradients.
"""


def free_ports(count):
    """Returns ports of this machine that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def start_workers(options, timeout):
    """Runs all workers and returns whether all of them did well."""
    addresses = [f"{HOST}:{port}" for port in free_ports(WORKERS)]
    workers = []
    try:
        for index in range(WORKERS):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            environment = dict(
                os.environ,
                KERAS_BACKEND="tensorflow",
                TF_CONFIG=json.dumps(config),
                TF_CPP_MIN_LOG_LEVEL="3",
            )
            command = [sys.executable, __file__, "--worker", *options]
            workers.append(subprocess.Popen(command, env=environment))
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            codes = [worker.poll() for worker in workers]
            if None not in codes or any(codes):
                return not any(codes)
            time.sleep(0.2)
        print(f"The workers were not done after {timeout} s.")
        return False
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


"""
## What a worker does

Every worker makes the same data from the same seed, and Keras gives each its
part of every batch.
"""


def load_photographs():
    """Returns photographs by name: arrays (height, width, 3) in (0, 1)."""
    china, flower = sklearn.datasets.load_sample_images().images
    photographs = {
        "chelsea": skimage.data.chelsea(),
        "china": china,
        "coffee": skimage.data.coffee(),
        "flower": flower,
        "rocket": skimage.data.rocket(),
    }
    return {k: v.astype("float32") / 255 for k, v in photographs.items()}


def cut_crops(photographs, count, rng):
    """Returns squares from random places, `(count, SIDE, SIDE, 3)`."""
    crops = []
    for index in range(count):
        image = photographs[index % len(photographs)]
        top = rng.integers(image.shape[0] - SIDE)
        left = rng.integers(image.shape[1] - SIDE)
        crops.append(image[top : top + SIDE, left : left + SIDE])
    return rng.permutation(np.stack(crops))


def add_noise(images, rng):
    noisy = images + rng.normal(0, NOISE, images.shape)
    return np.clip(noisy, 0, 1).astype("float32")


"""
## A network that `fit` trains on several machines

`Model.fit` of Keras 3.15 does not know `MultiWorkerMirroredStrategy`, and fails
in two places, with any loss. Both can be got around from outside: layers are
made inside the scope of the strategy and the model outside; and a step returns
vectors of one number, as Keras takes the mean over the first axis.
"""


class WorkerModel(keras.Model):
    def train_step(self, data):
        return as_vectors(super().train_step(data))

    def test_step(self, data):
        return as_vectors(super().test_step(data))


def as_vectors(logs):
    return keras.tree.map_structure(lambda x: keras.ops.reshape(x, (1,)), logs)


def build_layers():
    """Returns the input and the output of the network."""
    inputs = keras.Input((None, None, 3))
    x = inputs
    for _ in range(3):
        x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    residual = keras.layers.Conv2D(3, 3, padding="same")(x)
    return inputs, keras.layers.add([inputs, residual])


def photograph_loss():
    return keras_perceptual.WeightedSumLoss(
        {
            "pixels": keras.losses.MeanAbsoluteError(),
            "edges": (keras_perceptual.SobelGradientLoss(), 0.05),
            "features": (keras_perceptual.PerceptualLoss("alexnet"), 0.01),
        }
    )


def decibels(truth, images):
    return float(-10 * np.log10(np.mean((truth - images) ** 2)))


def work(quick, output):
    """Trains together with the other workers."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    is_chief = strategy.cluster_resolver.task_id == 0
    # The same on all workers: weights, crops, noise, order.
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    photographs = load_photographs()
    truth = photographs.pop(HELD_OUT)[None]
    noisy = add_noise(truth, rng)
    count = 16 if quick else 960
    crops = cut_crops(list(photographs.values()), count, rng)
    noisy_crops = add_noise(crops, rng)

    with strategy.scope():
        inputs, outputs = build_layers()
    network = keras.Model(inputs, outputs)
    model = WorkerModel(inputs, outputs)
    with strategy.scope():
        loss = photograph_loss()
        model.compile(
            keras.optimizers.Adam(1e-3),
            loss,
            metrics=[keras_perceptual.LossTerms(loss)],
        )
        started = time.time()
        epochs = 1 if quick else 3
        model.fit(
            noisy_crops,
            crops,
            batch_size=8 if quick else 16,
            epochs=epochs,
            verbose=2 if is_chief else 0,
            callbacks=[keras_perceptual.GradientSanityCallback()],
        )
    if is_chief:
        seconds = time.time() - started
        print(f"{epochs * count / seconds:.0f} images per second")
        report(network, truth, noisy, output)


"""
## Saving

The chief alone writes, and whoever reads the file needs no strategy. The
network of the loss is not in it.
"""


def report(network, truth, noisy, path):
    """Saves the network and judges what is loaded again."""
    network.save(path)
    loaded = keras.models.load_model(path)
    part = slice(0, 96)
    expected = network(noisy[:, part, part])
    found = loaded(noisy[:, part, part])
    if not np.allclose(found, expected, atol=1e-6):
        raise SystemExit("The loaded network gives another picture.")
    before = decibels(truth, noisy)
    after = decibels(truth, np.clip(loaded.predict(noisy, verbose=0), 0, 1))
    print(
        f"Saved and loaded again ({path.stat().st_size / 1e3:.0f} kB): "
        "the same picture"
    )
    print(f"{HELD_OUT}: {before:.2f} dB before, {after:.2f} dB after")


def main():
    parser = argparse.ArgumentParser(
        description="Trains one network on two workers on this machine."
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("outputs/two_workers.keras"),
        help="the file that the chief writes",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few steps, to see that it runs; its numbers mean nothing",
    )
    parser.add_argument(
        "--worker",
        action="store_true",
        help="be one of the workers that `TF_CONFIG` names",
    )
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    if arguments.worker:
        work(arguments.quick, arguments.output)
        return
    options = ["--output", str(arguments.output)]
    options += ["--quick"] if arguments.quick else []
    if not start_workers(options, timeout=600):
        raise SystemExit("A worker failed.")


if __name__ == "__main__":
    main()
