"""What each loss costs in a training step, in milliseconds.

The value and the gradient by the prediction of one batch, traced once as `fit`
does it. The losses take turns, round by round, so that what else the machine
does hits all of them alike. Printed are medians of the time on the wall and of
the processor time of all threads, and both with encoded targets for losses that
have them. The images are noise: no loss takes less time for some than for
others. It takes a minute on two cores.

    pip install -e .
    python benchmarks/loss_costs.py [--generators SRResNet U-Net NAFNet-like]

With `--generators`, it is measured what share of a step of `fit` a loss takes
that trains such a network, and what saves some of it: features of AlexNet, half
precision (bfloat16) and targets that were encoded before, in a cache of
`tf.data` on the disk. Each takes turns with the mean absolute error; the share
is what a step takes longer, in processor time. It takes some ten minutes.
"""

import argparse
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from generators import GENERATORS

import keras_perceptual as kp

LOSSES = {
    "MeanAbsoluteError()": keras.losses.MeanAbsoluteError,
    "CharbonnierLoss()": kp.CharbonnierLoss,
    "TotalVariationLoss()": kp.TotalVariationLoss,
    "SobelGradientLoss()": kp.SobelGradientLoss,
    'SobelGradientLoss.preset("midas")': (
        lambda: kp.SobelGradientLoss.preset("midas")
    ),
    "FocalFrequencyLoss()": kp.FocalFrequencyLoss,
    "WaveletLoss()": kp.WaveletLoss,
    "HaarPSILoss()": kp.HaarPSILoss,
    "MDSILoss()": kp.MDSILoss,
    "SSIMLoss()": kp.SSIMLoss,
    # Its five scales need images of 161 pixels.
    "MSSSIMLoss(), three scales": (
        lambda: kp.MSSSIMLoss(weights=(0.0448, 0.2856, 0.3001))
    ),
    'PerceptualLoss("alexnet")': lambda: kp.PerceptualLoss("alexnet"),
    'PerceivedDistance(size="small")': (
        lambda: kp.PerceivedDistance(size="small")
    ),
    "PerceivedDistance()": kp.PerceivedDistance,
    'LPIPS("alexnet")': lambda: kp.LPIPS("alexnet"),
    "PerceptualLoss()": kp.PerceptualLoss,
    'PerceptualLoss.preset("johnson2016_style")': (
        lambda: kp.PerceptualLoss.preset("johnson2016_style")
    ),
    'LPIPS("vgg16")': lambda: kp.LPIPS("vgg16"),
    "DISTS()": kp.DISTS,
    "ContextualLoss()": kp.ContextualLoss,
}

# What a network trains with: a loss, and whether its targets come encoded.
TRAINED_WITH = {
    "`SobelGradientLoss()`": (kp.SobelGradientLoss, False),
    "`SSIMLoss()`": (kp.SSIMLoss, False),
    '`PerceptualLoss("alexnet")`': (
        lambda: kp.PerceptualLoss("alexnet"),
        False,
    ),
    "`PerceptualLoss()`": (kp.PerceptualLoss, False),
    "`PerceptualLoss()`, bfloat16": (
        lambda: kp.PerceptualLoss(dtype="mixed_bfloat16"),
        False,
    ),
    "`PerceptualLoss()`, encoded": (kp.PerceptualLoss, True),
}


def read_options():
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument(
        "--generators", nargs="*", default=[], choices=GENERATORS
    )
    return parser.parse_args()


def compiled_gradient(loss):
    """Returns a function of two batches: the gradient of a loss by the second.

    It waits for the result.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        compiled = jax.jit(jax.value_and_grad(loss, argnums=1))
        return lambda *images: jax.block_until_ready(compiled(*images))[1]
    if backend == "torch":
        import torch

        def step(y_true, y_pred):
            x = y_pred.detach().requires_grad_()
            return torch.autograd.grad(loss(y_true, x), x)[0]

        return step

    import tensorflow as tf

    @tf.function
    def traced(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return tape.gradient(value, y_pred)

    return lambda *images: traced(*images).numpy()


def training_step(loss, y_true, y_pred):
    """Returns a function that computes a loss and its gradient."""
    images = keras.ops.convert_to_tensor(y_pred)
    gradient = compiled_gradient(loss)
    return lambda: gradient(y_true, images)


def make_steps(y_true, y_pred):
    """Returns the steps of all losses, by the name of the loss."""
    steps = {}
    for name, make in LOSSES.items():
        loss = make()
        target = keras.ops.convert_to_tensor(y_true)
        steps[name] = training_step(loss, target, y_pred)
        if hasattr(loss, "encode"):
            steps[f"{name}, encoded"] = training_step(
                loss, loss.encode(y_true), y_pred
            )
    return steps


def compare_times(steps, rounds):
    """Returns milliseconds of each step: on the wall, of all processors."""
    for step in steps.values():
        step()
        step()
    spent = {name: [] for name in steps}
    for index in range(rounds):
        for name in list(steps) if index % 2 else list(reversed(steps)):
            wall, processor = time.perf_counter(), time.process_time()
            steps[name]()
            spent[name].append(
                (time.perf_counter() - wall, time.process_time() - processor)
            )
    return {
        name: [
            1e3 * statistics.median(column)
            for column in zip(*seconds, strict=True)
        ]
        for name, seconds in spent.items()
    }


def fit_seconds(make, options):
    """Returns processor seconds of a step of `fit` by loss, in each round."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    steps = 2
    shape = (steps * options.batch, options.side, options.side, 3)
    y = rng.uniform(size=shape).astype("float32")
    inputs = make(options.side).input_shape[1:]
    x = rng.uniform(size=(len(y), *inputs)).astype("float32")
    ways = {"mean absolute error": (keras.losses.MeanAbsoluteError, False)}
    ways |= TRAINED_WITH
    with tempfile.TemporaryDirectory() as folder:
        fits = {}
        for index, (name, (make_loss, encoded)) in enumerate(ways.items()):
            loss, model = make_loss(), make(options.side)
            pairs = tf.data.Dataset.from_tensor_slices((x, y))
            pairs = pairs.batch(options.batch)
            if encoded:
                pairs = pairs.map(lambda x, y, loss=loss: (x, loss.encode(y)))
            pairs = pairs.cache(f"{folder}/{index}").prefetch(1)
            model.compile("adam", loss)
            fits[name] = lambda model=model, pairs=pairs: model.fit(
                pairs, shuffle=False, verbose=0
            )
        for fit in fits.values():
            fit()
        spent = {name: [] for name in fits}
        for _ in range(options.rounds):
            for name, fit in fits.items():
                start = time.process_time()
                fit()
                spent[name].append((time.process_time() - start) / steps)
    return spent


def show_shares(options):
    """Measures losses in the training of networks, and prints a table."""
    shares, seconds = {name: [] for name in TRAINED_WITH}, []
    for title in options.generators:
        spent = fit_seconds(GENERATORS[title], options)
        pixels = np.array(spent.pop("mean absolute error"))
        seconds.append(f"{title} {np.median(pixels):.2f} s")
        for name, found in spent.items():
            share = np.median(1 - pixels / np.array(found))
            shares[name].append(f"{100 * share:.0f} %")
        keras.backend.clear_session()
        print(f"{seconds[-1]}: {[x[-1] for x in shares.values()]}", flush=True)
    print(
        f"\nShare of the loss in a step of fit, batches of {options.batch}, "
        f"targets of {options.side} x {options.side}; processor time of a step "
        f"with the mean absolute error: {', '.join(seconds)}\n"
    )
    print(f"| loss | {' | '.join(options.generators)} |")
    print(f"|{' --- |' * (1 + len(options.generators))}")
    for name, cells in shares.items():
        print(f"| {name} | {' | '.join(cells)} |")


def main():
    """Measures all losses and prints a table."""
    options = read_options()
    if options.generators:
        show_shares(options)
        return
    rng = np.random.default_rng(0)
    shape = (options.batch, options.side, options.side, 3)
    pair = [rng.uniform(size=shape).astype("float32") for _ in range(2)]
    found = compare_times(make_steps(*pair), options.rounds)
    print(
        f"{shape[0]} images of {shape[1]} x {shape[2]}, loss and gradient, "
        f"{os.cpu_count()} processors, {options.rounds} rounds, on "
        f"{keras.backend.backend()}; milliseconds\n"
    )
    print("| loss | wall | processors | encoded: wall | processors |")
    print("| --- | --- | --- | --- | --- |")
    for name in LOSSES:
        cells = [*found[name], *found.get(f"{name}, encoded", [])]
        cells = [f"{cell:.3g}" for cell in cells] + ["-"] * (4 - len(cells))
        print(f"| `{name}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
