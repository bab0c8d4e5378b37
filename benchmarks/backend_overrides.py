"""What each override of a backend is worth against the default.

Both take turns in one process, and the printed figures are quartiles of the
ratios of neighboring runs, in processor time: default by override, so that
more than one speaks for the override. What an override is for is in the module
of the backend, in `keras_perceptual/_backend/`.

    python benchmarks/backend_overrides.py [--backend jax] [--only take]
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def parse():
    """Reads the command line, before Keras chooses its backend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backend",
        default="tensorflow",
        choices=["tensorflow", "jax", "torch"],
    )
    parser.add_argument("--only", default="", help="a part of a name")
    parser.add_argument("--rounds", type=int, default=15)
    return parser.parse_args()


def cases():
    """Yields names of functions, what they are used for, and their inputs."""
    import keras
    import numpy as np

    import keras_perceptual as kp

    rng = np.random.default_rng(0)

    def rand(*shape):
        return rng.uniform(size=shape).astype("float32")

    image, cube = rand(1, 256, 256, 3), rand(33, 33, 33, 3)
    for interpolation in ("linear", "tetrahedral"):
        yield (
            ["read_blended", "choose"],
            f"a cube, {interpolation}",
            lambda x, t, i=interpolation: kp.ops.look_up_cube(x, t, i),
            [image, cube],
        )
    yield ["take"], "curves", kp.ops.look_up_curves, [image, rand(256, 3)]
    yield (
        ["take"],
        "a cube, nearest",
        lambda t: kp.ops.look_up_cube(image, t, "nearest"),
        [cube],
    )
    yield (
        ["clamp"],
        "a range",
        lambda x: kp.ops.value_range.clamp(x, 0.25, 0.75),
        [image],
    )
    for operator in ("sobel", "scharr", "central"):
        yield (
            ["apply_linear"],
            operator,
            lambda x, o=operator: kp.ops.image_gradients(x, o),
            [rand(4, 256, 256, 3)],
        )
    pyramids = {"halve": "average", "take_every_second": "stride"}
    for name, downsampling in pyramids.items():
        yield (
            [name],
            f"smaller images, {downsampling}",
            lambda x, d=downsampling: kp.ops.pyramids.downsample(
                x, d, "valid", "channels_last"
            ),
            [rand(4, 256, 256, 3)],
        )
    for side in (256, 1024):
        yield (
            ["filter_images"],
            f"SSIM, {side} pixels a side",
            lambda x: kp.ops.ssim.ssim_distance(x, 1 - x),
            [rand(1, side, side, 3)],
        )
    wavelets = kp.ops.wavelets.stationary_wavelets
    for side in (128, 1024):
        yield (
            ["filter_axis"],
            f"wavelets, {side} pixels a side",
            lambda x: wavelets(x, "sym7"),
            [rand(1, side, side, 3)],
        )
    yield (
        ["hann_blur"],
        "64 channels",
        kp.ops.pooling.l2_pool,
        [rand(2, 64, 64, 64)],
    )
    layer = kp.LookupColorLayer(33)
    layer.build(image.shape)
    yield (
        ["compile_pointwise"],
        "a layer",
        lambda x: layer(x),
        [image],
    )
    target = keras.ops.convert_to_tensor(rand(4, 256, 256, 3))
    slopes = kp.SobelGradientLoss(mode="magnitude", scales=3)
    yield (
        ["compile_in_graph"],
        "slopes at three scales",
        lambda x: slopes(target, x),
        [rand(4, 256, 256, 3)],
    )
    for backbone in ("vgg16", "alexnet"):
        loss = _once(kp.PerceptualLoss, backbone)
        yield (
            ["frozen_call"],
            backbone,
            # Made anew in each form: it changes the layers of the network.
            lambda x, loss=loss: loss()(
                keras.ops.flip(keras.ops.stop_gradient(x), 1), x
            ),
            [rand(2, 128, 128, 3)],
        )


def _once(make, *arguments):
    """Returns a function that makes one object for each form, and keeps it."""
    from keras_perceptual import _backend

    made = {}

    def get():
        form = _backend.frozen_call
        if form not in made:
            made[form] = make(*arguments)
        return made[form]

    return get


def steps(backend, function, arrays):
    """Yields how a step is run, its name, and the step itself."""
    import keras

    tensors = [keras.ops.convert_to_tensor(x) for x in arrays]

    def energy(*tensors):
        found = keras.tree.flatten(function(*tensors))
        return sum(keras.ops.sum(x * x) for x in found)

    if backend == "tensorflow":
        import tensorflow as tf

        def gradient(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                value = energy(*tensors)
            return [
                tf.convert_to_tensor(x) for x in tape.gradient(value, tensors)
            ]

        for name, step in (("value", energy), ("gradient", gradient)):
            yield "eager", name, lambda s=step: s(*tensors)
            for how, jit in (("graph", False), ("XLA", True)):
                traced = tf.function(step, jit_compile=jit)
                yield how, name, lambda s=traced: s(*tensors)
    elif backend == "jax":
        import jax

        places = tuple(range(len(tensors)))
        for name, step in (
            ("value", energy),
            ("gradient", jax.grad(energy, argnums=places)),
        ):
            step = jax.jit(step)
            yield "jit", name, lambda s=step: jax.block_until_ready(s(*tensors))
    else:
        import torch

        def gradient():
            inputs = [x.clone().requires_grad_() for x in tensors]
            return torch.autograd.grad(energy(*inputs), inputs)

        def value():
            with torch.no_grad():
                return energy(*tensors)

        yield "eager", "value", value
        yield "eager", "gradient", gradient


def compare(rounds, run, forms):
    """Returns quartiles of the ratio of the first form's time to the second."""
    import numpy as np

    times = [[], []]
    for form in forms:
        run[form]()
    for _ in range(rounds):
        for form, found in zip(forms, times, strict=True):
            start = time.process_time()
            run[form]()
            found.append(time.process_time() - start)
    return np.percentile(np.divide(*times), (25, 50, 75))


def main():
    """Prints a line for each override, use and way to run it."""
    options = parse()
    os.environ["KERAS_BACKEND"] = options.backend
    from keras_perceptual import _backend
    from keras_perceptual._backend import defaults

    def in_form(name, form, function):
        """Returns a function that runs with one form of another."""

        def run(*arguments):
            before = getattr(_backend, name)
            setattr(_backend, name, form)
            try:
                return function(*arguments)
            finally:
                setattr(_backend, name, before)

        return run

    for names, use, function, arrays in cases():
        for name in names:
            forms = getattr(defaults, name), getattr(_backend, name)
            if forms[0] is forms[1] or options.only not in name:
                continue
            ways = {}
            for form in forms:
                chosen = in_form(name, form, function)
                for how, what, step in steps(options.backend, chosen, arrays):
                    ways.setdefault((how, what), {})[form] = step
            for (how, what), run in ways.items():
                low, middle, high = compare(options.rounds, run, forms)
                print(
                    f"{name:16} {use:24} {how:5} {what:8} "
                    f"{middle:6.2f} ({low:.2f} to {high:.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
