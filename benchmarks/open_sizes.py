"""How long look-ups and edge losses take where no size is known beforehand.

Restoration models take images of any size, and a color table is mostly used
for inference. TensorFlow runs them in the graph that Keras makes on a machine
without an accelerator. The peers are PyTorch's `grid_sample` for look-ups and
`tf.image.sobel_edges` by hand for edges; each case takes turns with its peer in
one process, and the figures are medians of the ratios of neighboring runs.

    python benchmarks/open_sizes.py [--rounds 15]

Then come the processor seconds that 20 sizes cost which a step sees twice, in
processes of their own, and by how many images a look-up with its gradients
makes a process grow at most (on Linux).
"""

import argparse
import multiprocessing
import os
import sys
import time

from color_lookup import CUBES, check, compare, grid_sample, make_cube, resident

OPEN = (None, None, None, 3)
CASES = {
    "mean squared error": None,
    "SobelGradientLoss()": {},
    "MiDaS, four scales": {"preset": "midas"},
}
# How a step is traced: as `fit` does, which gives up sizes at the second one,
# for all sizes from the start, or by a plain `tf.function`.
TRACES = ("as fit does", "once", "for each size")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def parse():
    """Reads the command line, before Keras chooses its backend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--size", type=int, default=33)
    parser.add_argument(
        "--skip",
        nargs="*",
        default=[],
        choices=["sizes", "memory", "edges", "look-ups"],
    )
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    return parser.parse_args()


def prepare():
    """Chooses the backend, and imports PyTorch before TensorFlow."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # First: in a process with TensorFlow it has to be.
    import torch  # noqa: F401


def photograph(height, width):
    """Returns a batch of one photograph and noise of its shape."""
    import numpy as np
    from skimage import data
    from skimage.transform import resize

    image = resize(data.coffee(), (height, width), order=1)[None]
    # No value is at an entry, where slopes jump.
    image = (1e-3 + 0.998 * image).astype("float32")
    noise = np.random.default_rng(1).uniform(size=image.shape)
    return image, noise.astype("float32")


def steps(function, arrays, ways):
    """Yields a function that runs one of the arrays, by how it is traced."""
    import tensorflow as tf

    tensors = [tf.constant(x) for x in arrays]
    specs = [tf.TensorSpec((None,) * (x.ndim - 1) + (3,)) for x in arrays]
    made = {
        "fixed size": lambda: tf.function(function),
        "open size": lambda: tf.function(function, input_signature=specs),
        "XLA": lambda: tf.function(function, jit_compile=True),
        "eager": lambda: function,
    }
    for way in ways:
        run = made[way]()
        yield way, lambda run=run: run(*tensors)


def look_ups(options):
    """Times look-ups beside `grid_sample`, and returns rows of the table."""
    import tensorflow as tf

    from keras_perceptual.layers import LookupColorLayer

    cube = make_cube(options.size)
    images, target = photograph(options.height, options.width)
    forward, both = grid_sample(images, target, cube)
    rows = {}
    print(f"\nLook-ups in a cube of {options.size}, images {images.shape}")
    for title, peer, arrays in (
        ("forward", forward, [images]),
        ("both gradients", both, [images, target]),
    ):
        runs = {f"{title}, grid_sample": peer}
        for interpolation in CUBES:
            layer = LookupColorLayer(options.size, interpolation=interpolation)
            layer.set_table(cube)

            def gradients(x, y, layer=layer):
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    loss = tf.reduce_mean((layer(x) - y) ** 2)
                return tape.gradient(loss, [x, layer.table.value])

            step = layer if len(arrays) == 1 else gradients
            ways = ("fixed size", "open size", "eager")
            for way, run in steps(step, arrays, ways):
                name = f"{title}, {interpolation}, {way}"
                found = run()
                if interpolation == "linear":
                    wanted = peer()
                    pair = [x if arrays[1:] else [x] for x in (found, wanted)]
                    check(name, *pair)
                runs[name] = run
        found = compare(options.rounds, runs, CLOCKS[options.clock])
        for interpolation in CUBES:
            work = f"{title}, {interpolation}"
            rows[f"cube of {options.size}, {interpolation}, {title}"] = [
                f"{found[f'{work}, {way}']:.2f}"
                for way in ("fixed size", "open size", "eager")
            ]
    return rows


def edge_step(arguments):
    """Returns a step with the loss of a case and its gradient."""
    import tensorflow as tf

    from keras_perceptual.losses import SobelGradientLoss

    def squared_error(y_true, y_pred):
        return tf.reduce_mean((y_true - y_pred) ** 2)

    loss = squared_error
    if arguments is not None and "preset" in arguments:
        loss = SobelGradientLoss.preset(arguments["preset"])
    elif arguments is not None:
        loss = SobelGradientLoss(**arguments)
    return with_gradient(loss)


def with_gradient(loss):
    """Returns a function that returns a loss and its gradient."""
    import tensorflow as tf

    def run(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    return run


def edges(options):
    """Times edge losses beside `tf.image.sobel_edges`; returns rows."""
    import numpy as np
    import tensorflow as tf

    def by_hand(y_true, y_pred):
        edges = tf.image.sobel_edges(y_true) - tf.image.sobel_edges(y_pred)
        return tf.reduce_mean(tf.abs(edges))

    rng = np.random.default_rng(0)
    pair = [rng.uniform(size=(8, 256, 256, 3)).astype("float32") for _ in "tp"]
    print(f"\nEdges and gradient, images {pair[0].shape}")
    peer = dict(steps(with_gradient(by_hand), pair, ["open size"]))
    runs = {"tf.image.sobel_edges": peer["open size"]}
    cases = list(CASES)[1:]
    ways = ("fixed size", "open size", "XLA")
    for name in cases:
        for way, run in steps(edge_step(CASES[name]), pair, ways):
            runs[f"{name}, {way}"] = run
    for run in runs.values():
        run()
    found = compare(options.rounds, runs, CLOCKS[options.clock])
    rows = {
        name: [f"{found[f'{name}, {way}']:.2f}" for way in ways[:2]]
        for name in cases
    }
    for name in cases:
        rows[f"{name}, under XLA"] = [f"{found[f'{name}, XLA']:.2f}"]
    return rows


def see_sizes(case, traced):
    """Returns processor seconds and MB that 20 sizes cost, seen twice."""
    prepare()
    import numpy as np
    import tensorflow as tf

    # What TensorFlow itself needs at first is no part of it.
    edge_step(None)(tf.ones((1, 8, 8, 3)), tf.zeros((1, 8, 8, 3)))
    step = edge_step(CASES[case])
    if traced == "once":
        specs = [tf.TensorSpec(OPEN)] * 2
        step = tf.function(step, input_signature=specs)
    else:
        step = tf.function(step, reduce_retracing=traced == "as fit does")
    sides = np.random.default_rng(0).integers(64, 256, (20, 2))
    before = resident("VmRSS")
    start = time.process_time()
    for height, width in [*sides, *sides]:
        step(tf.ones((1, height, width, 3)), tf.zeros((1, height, width, 3)))
    seconds = time.process_time() - start
    return seconds, (resident("VmRSS") - before) / 1e6


def many_sizes():
    """Prints what 20 sizes cost, and returns rows of the table."""
    rows = {}
    print("\n20 sizes seen twice: processor seconds, MB kept")
    for case in CASES:
        row = rows[f"20 sizes seen twice, {case}"] = []
        for traced in TRACES:
            seconds, kept = in_a_process(see_sizes, case, traced)
            row.append(f"{seconds:.1f} s, {kept:.0f} MB")
            print(f"traced {traced:14} {case:22} {row[-1]}", flush=True)
    return rows


def grow(options, interpolation, way):
    """Returns by how many images a look-up with gradients grows at most."""
    prepare()
    import numpy as np
    import tensorflow as tf

    from keras_perceptual.layers import LookupColorLayer

    layer = LookupColorLayer(options.size, interpolation=interpolation)
    layer.set_table(make_cube(options.size))

    def gradients(x, y):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean((layer(x) - y) ** 2)
        return tape.gradient(loss, [x, layer.table.value])

    def make(height, width):
        images = np.full((1, height, width, 3), 0.4, "float32")
        return dict(steps(gradients, [images, images], [way]))[way]

    make(300, 300)()
    run = make(options.height, options.width)
    before = resident("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # Forgets what was held at most.
    run()
    image = 4 * 3 * options.height * options.width
    return (resident("VmHWM") - before) / image


def memory(options):
    """Prints how much look-ups with gradients need, and returns rows."""
    rows = {}
    # What is freed goes back at once, or the run would fill it first.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    print("\nMemory of a look-up with both gradients, in images")
    for interpolation in CUBES:
        row = rows[f"memory in images, {interpolation}"] = []
        for way in ("fixed size", "open size"):
            images = in_a_process(grow, options, interpolation, way)
            row.append(f"{images:.1f}")
            print(f"{interpolation}, {way:12} {images:5.1f}", flush=True)
    return rows


def in_a_process(function, *arguments):
    """Returns what a function returns that runs in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main():
    """Prints all of it."""
    options = parse()
    costs = {} if "sizes" in options.skip else many_sizes()
    needs = {}
    if "memory" not in options.skip and sys.platform == "linux":
        needs = memory(options)
    os.environ.pop("MALLOC_MMAP_THRESHOLD_", None)
    prepare()
    shares = {}
    if "look-ups" not in options.skip:
        shares |= look_ups(options)
    if "edges" not in options.skip:
        shares |= edges(options)
    tabulate("work", ("fixed size", "open size", "eager"), shares | needs)
    tabulate("work", [f"traced {way}" for way in TRACES], costs)


def tabulate(corner, columns, rows):
    """Prints a table in Markdown."""
    width = max(map(len, rows), default=0)
    print(f"\n| {corner:{width}} | {' | '.join(columns)} |")
    print(f"|{' --- |' * (len(columns) + 1)}")
    for name, cells in rows.items():
        cells = [*cells, *[""] * (len(columns) - len(cells))]
        print(f"| {name:{width}} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
