"""How training scales with workers, and what encoded targets save, on CPUs.

Trains a small network on `PerceptualLoss()` (VGG16) in processes of their own:
alone, on two virtual devices of one process (`MirroredStrategy`), and in two
processes that talk to each other on 127.0.0.1
(`MultiWorkerMirroredStrategy`). Every device has the same number of images in
each step and a core of its own (virtual devices share two), so that two of them
do twice the work of one. On Linux: elsewhere a process cannot choose its cores.

Prints images per second, the share of that of twice one device, images per
second of processor time, which other programs change least, and how much of a
step it takes to add up gradients of the same sizes and nothing else. Times
are those of the fastest steps, as other programs slow down the rest.

    python benchmarks/scaling.py [--steps 6] [--batch 8] [--side 64]
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_perceptual as kp

HOST = "127.0.0.1"
SETTINGS = {
    "one device": 1,
    "two virtual devices": 2,
    "two workers": 2,
}


class WorkerModel(keras.Model):
    """A model that `fit` trains on several machines, see docs."""

    def train_step(self, data):
        return keras.tree.map_structure(
            lambda x: keras.ops.reshape(x, (1,)), super().train_step(data)
        )


def take_cores(setting):
    """Keeps this process to the cores of its devices."""
    if setting != "two virtual devices":
        task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {})
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[task.get("index", 0)]})


def make_strategy(setting):
    take_cores(setting)
    # The devices of one process share its threads.
    threads = 2 if setting == "two virtual devices" else 1
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    if setting == "two workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if setting == "two virtual devices":
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * 2,
        )
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return tf.distribute.get_strategy()


def build_layers():
    inputs = keras.Input((None, None, 3))
    x = inputs
    for _ in range(4):
        x = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    return inputs, keras.layers.Conv2D(3, 3, padding="same")(x)


class Stopwatch(keras.callbacks.Callback):
    """Takes the time of each step but the first ones, which are traced."""

    def __init__(self, warm_up=2):
        super().__init__()
        self.warm_up = warm_up
        self.times = []
        self.processor_times = []

    def on_train_batch_begin(self, batch, logs=None):
        self.began = time.perf_counter()
        self.processor_began = time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        if batch >= self.warm_up:
            self.times.append(time.perf_counter() - self.began)
            self.processor_times.append(
                time.process_time() - self.processor_began
            )


def time_of_sums(strategy, model, repeats=20):
    """Returns the least seconds to add up gradients of all devices."""

    def add_up():
        zeros = [tf.zeros(v.shape) for v in model.trainable_variables]
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, zeros)

    run = tf.function(lambda: strategy.run(add_up))
    run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def measure(setting, encoded, steps, batch, side):
    """Returns seconds of a step, of the processor in it, and of the sums."""
    strategy = make_strategy(setting)
    devices = SETTINGS[setting]
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(devices * batch, side, side, 3))
    images = images.astype("float32")
    data = tf.data.Dataset.from_tensor_slices(images).batch(devices * batch)
    with strategy.scope():
        loss = kp.PerceptualLoss()
    pairs = data.map(lambda x: (x, loss.encode(x) if encoded else x))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    pairs = pairs.cache().repeat().with_options(options)
    with strategy.scope():
        inputs, outputs = build_layers()
    watch = Stopwatch()
    if setting == "two workers":
        model = WorkerModel(inputs, outputs)
    else:
        with strategy.scope():
            model = keras.Model(inputs, outputs)
    with strategy.scope():
        model.compile("sgd", loss, jit_compile=False)
    with strategy.scope():
        model.fit(
            pairs,
            steps_per_epoch=steps + watch.warm_up,
            verbose=0,
            callbacks=[watch],
        )
    sums = time_of_sums(strategy, model) if devices > 1 else 0.0
    return min(watch.times), min(watch.processor_times), sums


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def in_processes(setting, encoded, arguments):
    """Measures in processes of their own, and returns what the first found."""
    count = 2 if setting == "two workers" else 1
    addresses = [f"{HOST}:{port}" for port in free_ports(count)]
    command = [sys.executable, __file__, "--setting", setting]
    command += ["--encoded"] if encoded else []
    for name in ("steps", "batch", "side"):
        command += [f"--{name}", str(getattr(arguments, name))]
    processes = []
    try:
        for index in range(count):
            environment = dict(os.environ)
            if count > 1:
                task = {"type": "worker", "index": index}
                environment["TF_CONFIG"] = json.dumps(
                    {"cluster": {"worker": addresses}, "task": task}
                )
            processes.append(
                subprocess.Popen(
                    command,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
        printed = [p.communicate(timeout=600)[0] for p in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return json.loads(printed[0].splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--setting", choices=SETTINGS, help=argparse.SUPPRESS)
    parser.add_argument(
        "--encoded", action="store_true", help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.setting:
        found = measure(**vars(arguments))
        print(json.dumps(found))
        return
    print("| devices | targets | images/s | of twice one | processor | sums |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for encoded in (False, True):
        alone = None
        for setting, devices in SETTINGS.items():
            found = in_processes(setting, encoded, arguments)
            step, processor, sums = found
            speed = devices * arguments.batch / step
            in_process = 2 if setting == "two virtual devices" else 1
            images = in_process * arguments.batch
            alone = alone or speed
            row = [
                setting,
                "encoded" if encoded else "images",
                f"{speed:.1f}",
                f"{speed / (devices * alone):.2f}" if devices > 1 else "-",
                f"{images / processor:.1f}",
                f"{1e3 * sums:.1f} ms, {sums / step:.1%}"
                if devices > 1
                else "-",
            ]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
