"""How long an L1 edge loss and its gradient take, against the usual ways.

What is compared takes turns in one process, and the printed figures are
medians of the ratios of neighboring runs: what else the machine does slows
down both. On PyTorch the peer is kornia, which has to be installed.

    python benchmarks/sobel_gradient_loss.py [--backend torch] [--rounds 25]
"""

import argparse
import os
import time


def parse():
    """Reads the command line, before Keras chooses its backend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backend", default="tensorflow", choices=list(CANDIDATES)
    )
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--channels", type=int, default=3)
    return parser.parse_args()


def on_tensorflow(true, pred):
    """Returns the candidates on TensorFlow, in groups, the peer first."""
    import tensorflow as tf

    from keras_perceptual.losses import SobelGradientLoss

    true, pred = tf.constant(true), tf.constant(pred)

    def step(loss, jit_compile=False):
        @tf.function(jit_compile=jit_compile)
        def run(y_true, y_pred):
            with tf.GradientTape() as tape:
                tape.watch(y_pred)
                value = loss(y_true, y_pred)
            return value, tape.gradient(value, y_pred)

        return lambda: [x.numpy() for x in run(true, pred)]

    def components(y_true, y_pred):
        edges = tf.image.sobel_edges(y_true) - tf.image.sobel_edges(y_pred)
        return tf.reduce_mean(tf.abs(edges))

    def magnitudes(y_true, y_pred):
        squares = (tf.image.sobel_edges(x) ** 2 for x in (y_true, y_pred))
        true, pred = (tf.sqrt(tf.reduce_sum(x, -1) + 1e-6) for x in squares)
        return tf.reduce_mean(tf.abs(true - pred))

    @tf.function
    def difference(y_true, y_pred):
        return y_pred - y_true

    ours = SobelGradientLoss()
    magnitude = SobelGradientLoss(mode="magnitude")
    return {
        "component": {
            "tf.image.sobel_edges, graph": step(components),
            "tf.image.sobel_edges, XLA": step(components, True),
            "SobelGradientLoss, graph": step(ours),
            "SobelGradientLoss, XLA": step(ours, True),
        },
        "magnitude": {
            "tf.image.sobel_edges, graph": step(magnitudes),
            "tf.image.sobel_edges, XLA": step(magnitudes, True),
            "SobelGradientLoss, graph": step(magnitude),
            "SobelGradientLoss, XLA": step(magnitude, True),
        },
    }, lambda: difference(true, pred).numpy()


def on_torch(true, pred):
    """Returns the candidates on PyTorch."""
    import kornia
    import torch

    from keras_perceptual.losses import SobelGradientLoss

    first = [torch.tensor(x).movedim(-1, 1) for x in (true, pred)]
    images = {
        "channels_first": [x.contiguous() for x in first],
        "channels_last": [torch.tensor(x) for x in (true, pred)],
    }

    def step(loss, data_format):
        y_true, y_pred = images[data_format]
        y_pred = y_pred.clone().requires_grad_()

        def run():
            y_pred.grad = None
            value = loss(y_true, y_pred)
            value.backward()
            gradient = y_pred.grad
            if data_format == "channels_first":
                gradient = gradient.movedim(1, -1)
            return value.item(), gradient.numpy()

        return run

    def edges(x):
        return kornia.filters.spatial_gradient(x, normalized=False)

    def components(y_true, y_pred):
        return (edges(y_true) - edges(y_pred)).abs().mean()

    def magnitudes(y_true, y_pred):
        true, pred = (
            (edges(x).square().sum(2) + 1e-6).sqrt() for x in (y_true, y_pred)
        )
        return (true - pred).abs().mean()

    def ours(data_format, **arguments):
        loss = SobelGradientLoss(
            padding="replicate", data_format=data_format, **arguments
        )
        return step(loss, data_format)

    return {
        mode: {
            "kornia": step(peer, "channels_first"),
            **{
                f"SobelGradientLoss, {data_format}": ours(
                    data_format, mode=mode
                )
                for data_format in images
            },
        }
        for mode, peer in (("component", components), ("magnitude", magnitudes))
    }, lambda: images["channels_last"][1] - images["channels_last"][0]


def on_jax(true, pred):
    """Returns the candidates on JAX."""
    import jax
    import keras

    from keras_perceptual.losses import SobelGradientLoss

    true, pred = jax.numpy.asarray(true), jax.numpy.asarray(pred)

    def step(name, loss):
        run = jax.jit(jax.value_and_grad(loss, argnums=1))
        run = run.lower(true, pred).compile()
        # XLA's own count, which takes every read and write of a fused loop
        # for one of memory; the least is to read two images and write one.
        moved = run.cost_analysis()["bytes accessed"] / (3 * true.nbytes)
        print(f"{name:34} {moved:6.1f} times the least bytes")
        return lambda: jax.block_until_ready(run(true, pred))

    def edges(x):
        return keras.ops.image.sobel_edges(x, data_format="channels_last")

    def components(y_true, y_pred):
        return abs(edges(y_true) - edges(y_pred)).mean()

    def magnitudes(y_true, y_pred):
        true, pred = (
            jax.numpy.sqrt((edges(x) ** 2).sum(-1) + 1e-6)
            for x in (y_true, y_pred)
        )
        return abs(true - pred).mean()

    difference = jax.jit(lambda y_true, y_pred: y_pred - y_true)
    # Keras pads with zeros there: only the inside of the gradient is equal.
    return {
        mode: {
            name: step(name, loss)
            for name, loss in (
                ("keras.ops.image.sobel_edges", peer),
                ("SobelGradientLoss", SobelGradientLoss(mode=mode)),
            )
        }
        for mode, peer in (("component", components), ("magnitude", magnitudes))
    }, lambda: jax.block_until_ready(difference(true, pred))


CANDIDATES = {
    "tensorflow": on_tensorflow,
    "torch": on_torch,
    "jax": on_jax,
}


def check(candidates):
    """Refuses to time what does not compute the same."""
    import numpy as np

    inside = (slice(None), slice(2, -2), slice(2, -2))
    (base, run), *others = candidates.items()
    value, gradient = run()
    for name, other in others:
        found, slope = other()
        tolerance = 1e-5 if base != "keras.ops.image.sobel_edges" else 0.1
        np.testing.assert_allclose(found, value, tolerance, err_msg=name)
        # Where two slopes agree to the last digit, rounding picks the sign.
        difference = np.abs(np.asarray(slope - gradient))[inside]
        off = difference > 1e-5 * np.max(np.abs(gradient))
        if np.mean(off) > 1e-3:
            raise SystemExit(f"{name}: the gradient is another one")


def main():
    """Times the candidates in turn and prints the ratios."""
    options = parse()
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.backend == "torch":
        import torch  # noqa: F401
    import numpy as np

    shape = (options.batch, options.size, options.size, options.channels)
    rng = np.random.default_rng(0)
    pair = [rng.uniform(0, 1, shape).astype("float32") for _ in range(2)]
    groups, floor = CANDIDATES[options.backend](*pair)
    print(f"Loss and gradient, images {shape}, {options.rounds} rounds")
    for group, candidates in groups.items():
        check(candidates)
        runs = {**candidates, "one difference of images": floor}
        times = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
        base = np.array(next(iter(times.values())))
        for name, seconds in times.items():
            ratio = np.median(np.array(seconds) / base)
            print(
                f"{group:10} {name:34} {ratio:6.3f} times the first, "
                f"median {1e3 * np.median(seconds):7.1f} ms"
            )


if __name__ == "__main__":
    main()
