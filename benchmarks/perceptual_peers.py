"""Our perceptual losses against the PyTorch packages that people use.

Both sides compare the same images with the same network and weights, and
compute the loss and its gradient by the prediction: the packages with PyTorch,
ours on the backend that KERAS_BACKEND names (in graph mode on TensorFlow,
compiled on JAX). All run in one process, round by round in turn, so that what
else the machine does hits everybody, and on the same processors with as many
threads. Before anything is timed, values and gradients are compared. Printed
are medians of the ratios within a round; "encoded" is ours where the features
of the targets are known from an earlier epoch, which no package offers.

PyTorch's threads wait for each other passively here (OMP_WAIT_POLICY), else it
takes several times as long on a machine that is busy with other things. What
neither favors is `--threads 1 --clock processor`.

    pip install -e ".[parity]"
    KERAS_BACKEND=tensorflow python benchmarks/perceptual_peers.py
"""

import argparse
import os
import pathlib
import statistics
import sys
import time

import numpy as np

# Before PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TESTS = pathlib.Path(__file__).parents[1] / "tests"
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
# The packages that are compared in each task, by their names in `official`.
TASKS = {
    "lpips alexnet": {
        "lpips": "lpips_alex",
        "torchmetrics": "torchmetrics_lpips_alex",
    },
    "lpips vgg16": {
        "lpips": "lpips_vgg",
        "torchmetrics": "torchmetrics_lpips_vgg",
        "piq": "piq_lpips",
    },
    "content": {"piq": "piq_content_mse"},
    "style": {"piq": "piq_style"},
    "dists": {"piq": "piq_dists", "torchmetrics": "torchmetrics_dists"},
}


def read_options():
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", default="wall", choices=CLOCKS)
    parser.add_argument(
        "--tasks", nargs="+", default=list(TASKS), choices=TASKS
    )
    return parser.parse_args()


def share_processors(threads):
    """Leaves every library in this process the same number of threads."""
    if hasattr(os, "sched_setaffinity"):
        chosen = sorted(os.sched_getaffinity(0))[:threads]
        os.sched_setaffinity(0, chosen)
    import torch

    torch.set_num_threads(threads)
    # What is compiled against PyTorch has to be imported before TensorFlow.
    import lpips  # noqa: F401
    import torchmetrics.image.lpip  # noqa: F401

    if os.environ.setdefault("KERAS_BACKEND", "tensorflow") == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def their_losses():
    """Returns the losses of the packages, of (pred, true) in (0, 1)."""
    sys.path.insert(0, str(TESTS))
    from reference import official

    from keras_perceptual.features import weights_loading

    losses = official.losses(
        {
            name: weights_loading.read_packaged(f"{name}.npz")
            for name in ("vgg16", "alexnet")
        }
    )
    return {
        task: {name: losses[key] for name, key in keys.items()}
        for task, keys in TASKS.items()
    }


def our_losses():
    """Returns our losses, and by how much they differ from the others'."""
    import keras_perceptual as kp

    found = {f"lpips {x}": (kp.LPIPS(x), 1) for x in ("alexnet", "vgg16")}
    content = kp.PerceptualLoss("vgg16", ["relu3_3"])
    # The sum over channels, where ours is the mean.
    found["content"] = (content, 256)
    style = kp.PerceptualLoss(
        "vgg16",
        ["relu3_3"],
        content_weight=0,
        style_weight=1,
        gram_normalization="none",
    )
    found["style"] = (style, 1)
    found["dists"] = (kp.DISTS(), 1)
    return found


def torch_step(loss, y_true, y_pred):
    """Returns a function that computes a loss and its gradient."""
    import torch

    def step():
        x = y_pred.detach().requires_grad_()
        value = loss(x, y_true).mean()
        (gradient,) = torch.autograd.grad(value, x)
        return value.detach(), gradient

    return step


def our_step(loss, y_true, y_pred):
    """Returns the same for a loss of ours, on the backend in use."""
    import keras

    images = [keras.ops.convert_to_tensor(x) for x in (y_true, y_pred)]
    backend = keras.backend.backend()
    if backend == "torch":
        # In the order of the packages, which the tests take from there.
        return torch_step(lambda x, y: loss(y, x), *images)
    if backend == "jax":
        import jax

        compiled = jax.jit(jax.value_and_grad(loss, argnums=1))
        return lambda: compiled(*images)

    import tensorflow as tf

    @tf.function
    def traced(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    return lambda: traced(*images)


def measured(step, clock):
    """Returns the seconds that a step takes, its value and its gradient."""
    start = clock()
    value, gradient = step()
    value, gradient = np.asarray(value), np.asarray(gradient)
    return clock() - start, value, gradient


def compare_results(steps, factor):
    """Stops unless all steps compute the same."""
    found = {
        name: measured(step, time.perf_counter)[1:]
        for name, step in steps.items()
    }
    expected, gradient = found["ours"]
    for name, (value, slope) in found.items():
        if not name.startswith("ours"):
            value, slope = value / factor, slope.transpose(0, 2, 3, 1) / factor
        np.testing.assert_allclose(value, expected, rtol=1e-4, err_msg=name)
        off = np.linalg.norm(slope - gradient) / np.linalg.norm(gradient)
        # One activation on the other side of zero moves it by a thousandth.
        if off > 2e-2:
            raise SystemExit(f"{name}: the gradient differs by {off:.1e}")


def compare_times(steps, rounds, clock):
    """Returns the seconds of each step in each round."""
    seconds = {name: [] for name in steps}
    for index in range(rounds):
        # The order changes, so that nobody always follows the same.
        for name in list(steps) if index % 2 else list(reversed(steps)):
            seconds[name].append(measured(steps[name], clock)[0])
    return seconds


def main():
    """Measures all tasks and prints the ratios."""
    options = read_options()
    share_processors(options.threads)
    import keras
    import torch

    rng = np.random.default_rng(0)
    shape = (options.batch, options.side, options.side, 3)
    pair = [rng.uniform(size=shape).astype("float32") for _ in range(2)]
    tensors = [torch.tensor(x).permute(0, 3, 1, 2).contiguous() for x in pair]
    theirs, ours = their_losses(), our_losses()
    print(
        f"{shape[0]} images of {shape[1]} x {shape[2]}, loss and gradient, "
        f"{options.threads} threads, {options.rounds} rounds, "
        f"{options.clock} time; ours on {keras.backend.backend()}"
    )
    for task in options.tasks:
        loss, factor = ours[task]
        y_true, y_pred = pair
        steps = {
            "ours": our_step(loss, y_true, y_pred),
            "ours, encoded": our_step(loss, loss.encode(y_true), y_pred),
        }
        for name, function in theirs[task].items():
            steps[name] = torch_step(function, *tensors)
        compare_results(steps, factor)
        seconds = compare_times(steps, options.rounds, CLOCKS[options.clock])
        medians = {x: statistics.median(spent) for x, spent in seconds.items()}
        fastest = min(theirs[task], key=medians.get)
        rows = [("ours", name) for name in theirs[task]]
        for mine, name in (*rows, ("ours, encoded", fastest)):
            ratios = [
                a / b for a, b in zip(seconds[mine], seconds[name], strict=True)
            ]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(
                f"{task:>14}: {mine + ' / ' + name:28} {middle:.3f} "
                f"(quartiles {low:.3f} to {high:.3f}; medians "
                f"{1e3 * medians[mine]:.0f} and {1e3 * medians[name]:.0f} ms)"
                + (
                    " <- the fastest"
                    if (mine, name) == ("ours", fastest)
                    else ""
                )
            )


if __name__ == "__main__":
    main()
