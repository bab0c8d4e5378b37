"""How long a color table takes, against the usual way to have one.

The usual way is `grid_sample` of PyTorch, which is trilinear. Everything takes
turns with it in one process, and the printed figures are medians of the ratios
of neighboring runs: what else the machine does slows down both.

    python benchmarks/color_lookup.py [--backend jax] [--rounds 15]

With `--memory` it prints instead by how much each way makes a process grow at
most, compiling included, in images: the result is one of them, and with
gradients there are two more. Each is in a process of its own
(on Linux).
"""

import argparse
import multiprocessing
import os
import re
import time

CUBES = ("linear", "tetrahedral")
CURVES = {"dimensions": 1, "size": 256}


def parse():
    """Reads the command line, before Keras chooses its backend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="tensorflow", choices=list(STEPS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--size", type=int, default=33)
    parser.add_argument("--memory", action="store_true")
    return parser.parse_args()


def on_tensorflow(images, target):
    """Returns what makes steps on TensorFlow, by how they are compiled."""
    import tensorflow as tf

    images, target = tf.constant(images), tf.constant(target)

    def ways(layer, jit_compile):
        @tf.function(jit_compile=jit_compile)
        def forward(x):
            return layer(x, training=True)

        @tf.function(jit_compile=jit_compile)
        def both(x, y):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_mean((layer(x, training=True) - y) ** 2)
            return tape.gradient(loss, [x, layer.table.value])

        return (
            lambda: forward(images),
            lambda: both(images, target),
        )

    def multiply(jit_compile):
        @tf.function(jit_compile=jit_compile)
        def run(x):
            return x * 0.5

        return lambda: run(images)

    return {
        name: (lambda layer, jit=jit: ways(layer, jit), multiply(jit))
        for name, jit in (("graph", False), ("XLA", True))
    }


def on_jax(images, target):
    """Returns what makes steps on JAX."""
    import jax

    images, target = jax.numpy.asarray(images), jax.numpy.asarray(target)

    def ways(layer):
        def call(table, x):
            (y, _) = layer.stateless_call([table], [], x)
            return y

        forward = jax.jit(call)
        both = jax.jit(
            jax.grad(
                lambda table, x, y: ((call(table, x) - y) ** 2).mean(),
                argnums=(1, 0),
            )
        )
        table = layer.table.value
        return (
            lambda: jax.block_until_ready(forward(table, images)),
            lambda: jax.block_until_ready(both(table, images, target)),
        )

    run = jax.jit(lambda x: x * 0.5)
    return {"jit": (ways, lambda: jax.block_until_ready(run(images)))}


def on_torch(images, target):
    """Returns what makes steps on PyTorch."""
    import torch

    images, target = torch.tensor(images), torch.tensor(target)

    def ways(layer):
        def forward():
            with torch.no_grad():
                return layer(images)

        def both():
            x = images.clone().requires_grad_()
            table = layer.table.value
            table.grad = None
            ((layer(x) - target) ** 2).mean().backward()
            return [x.grad, table.grad]

        return forward, both

    return {"eager": (ways, lambda: images * 0.5)}


STEPS = {"tensorflow": on_tensorflow, "jax": on_jax, "torch": on_torch}


def grid_sample(images, target, cube):
    """Returns the steps of the peer: images and gradients as ours are."""
    import torch

    images, target = torch.tensor(images), torch.tensor(target)
    # The first coordinate of a grid goes along the last axis.
    cube = torch.tensor(cube.transpose(3, 2, 1, 0)[None].copy())

    def sample(x, table):
        grid = x[:, None] * 2 - 1
        found = torch.nn.functional.grid_sample(
            table, grid, align_corners=True, padding_mode="border"
        )
        return found[:, :, 0].movedim(1, -1)

    def forward():
        with torch.no_grad():
            return sample(images, cube)

    def both():
        x = images.clone().requires_grad_()
        table = cube.clone().requires_grad_()
        ((sample(x, table) - target) ** 2).mean().backward()
        return [x.grad, table.grad[0].permute(3, 2, 1, 0)]

    return forward, both


def pictures(height, width):
    """Returns a photograph and noise, both without values at an entry."""
    import numpy as np
    from skimage import data
    from skimage.transform import resize

    photograph = resize(data.coffee(), (height, width), order=1)
    noise = np.random.default_rng(0).uniform(size=photograph.shape)
    return {
        name: (1e-3 + 0.998 * image[None]).astype("float32")
        for name, image in (("photograph", photograph), ("noise", noise))
    }


def check(name, found, wanted):
    """Refuses to time what does not compute the same."""
    import numpy as np

    for ours, theirs in zip(found, wanted, strict=True):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        off = np.abs(ours - theirs) > 2e-3 * np.abs(theirs).max()
        # At the border of a cell, rounding picks the slope.
        if np.mean(off) > 1e-3:
            raise SystemExit(f"{name}: other values than grid_sample")


def compare(rounds, runs, clock=time.perf_counter):
    """Prints, and returns, how long each run takes, as a share of the first."""
    import numpy as np

    shares = {}
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    base = np.array(next(iter(times.values())))
    for name, seconds in times.items():
        low, middle, high = np.percentile(
            np.array(seconds) / base, (25, 50, 75)
        )
        shares[name] = middle
        print(
            f"{name:44} {middle:6.3f} ({low:.3f} to {high:.3f}), "
            f"median {1e3 * np.median(seconds):7.1f} ms",
            flush=True,
        )
    return shares


def make_cube(size):
    """Returns a smooth cube with other slopes everywhere."""
    import numpy as np

    from keras_perceptual.ops import identity_cube

    cube = identity_cube(size)
    return (0.8 * cube**1.3 + 0.2 * np.roll(cube, 1, -1)).astype("float32")


def resident(key):
    """Returns how many bytes this process holds, or held at most."""
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(rf"{key}:\s+(\d+)", file.read())[1])


def grow(options, interpolation, way, step):
    """Returns by how many images a process grows at most."""
    prepare(options)
    import numpy as np

    from keras_perceptual.layers import LookupColorLayer

    layer = LookupColorLayer(options.size, interpolation=interpolation)
    layer.set_table(make_cube(options.size))

    def make_steps(height, width):
        images = np.full((1, height, width, 3), 0.4, "float32")
        if way is None:
            return grid_sample(images, images, make_cube(options.size))
        return STEPS[options.backend](images, images)[way][0](layer)

    make_steps(8, 8)[step]()
    # Both are kept: what one of them frees, the other would fill first.
    steps = make_steps(options.height, options.width)
    before = resident("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # Forgets what was held at most.
    steps[step]()
    image = 4 * 3 * options.height * options.width
    return (resident("VmHWM") - before) / image


def measure_memory(options):
    """Prints how much each way needs."""
    # What is freed goes back at once, or the run would fill it first.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    ways = {"tensorflow": ["graph", "XLA"], "jax": ["jit"], "torch": ["eager"]}
    context = multiprocessing.get_context("spawn")
    for step, title in enumerate(("forward", "forward and backward")):
        cases = [(i, w) for i in CUBES for w in ways[options.backend]]
        for interpolation, way in [(CUBES[0], None), *cases]:
            with context.Pool(1) as pool:
                images = pool.apply(grow, (options, interpolation, way, step))
            name = f"{interpolation}, {way}" if way else "grid_sample"
            print(f"{title}, {name:24} {images:6.2f} images", flush=True)


def prepare(options):
    """Chooses the backend."""
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # First: in a process with TensorFlow it has to be.
    import torch  # noqa: F401


def main():
    """Times all ways in turn and prints the ratios."""
    options = parse()
    if options.memory:
        measure_memory(options)
        return
    prepare(options)
    import numpy as np

    from keras_perceptual.layers import LookupColorLayer

    cube = make_cube(options.size)
    for kind, images in pictures(options.height, options.width).items():
        target = np.random.default_rng(1).uniform(size=images.shape)
        target = target.astype("float32")
        ways = STEPS[options.backend](images, target)
        peer = grid_sample(images, target, cube)
        print(f"\n{kind}, {images.shape}, {options.rounds} rounds")
        for step, title in enumerate(("forward", "forward and backward")):
            runs = {f"{title}, grid_sample": peer[step]}
            for interpolation in CUBES:
                for name, (make, _) in ways.items():
                    layer = LookupColorLayer(
                        options.size, interpolation=interpolation
                    )
                    layer.set_table(cube)
                    run = make(layer)[step]
                    name = f"{title}, {interpolation}, {name}"
                    if interpolation == "linear":
                        wanted = peer[step]()
                        check(
                            name, *(x if step else [x] for x in (run(), wanted))
                        )
                    run()
                    runs[name] = run
            compare(options.rounds, runs)
        for name, (make, multiply) in ways.items():
            layer = LookupColorLayer(**CURVES)
            layer.set_table(np.linspace(0, 1, 256)[:, None] ** [0.5, 1, 2])
            forward, both = make(layer)
            forward(), both()
            compare(
                options.rounds,
                {
                    f"multiplication, {name}": multiply,
                    f"forward, curves, {name}": forward,
                    f"forward and backward, curves, {name}": both,
                },
            )


if __name__ == "__main__":
    main()
