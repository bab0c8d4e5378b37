"""What every loss, layer and check takes on a GPU, beside peers and limits.

    python benchmarks/on_gpu.py [--seconds 480] [--backends torch jax]

runs on each backend that is installed, one after the other in a process of its
own, and prints one table in Markdown; none needs TensorFlow but TensorFlow
itself. Measured are loss and gradient, look-ups forward and with both
gradients, and six steps of `fit` with the gradient check; of 16 images of
256 x 256 pixels and of one of 2160 x 3840, in float32 and mixed precision
(bfloat16), eagerly, with `torch.compile`, `jit` or in a graph. What matters
most comes first: what does not fit into the time is named at the end.

- **ms** is the median of rounds on the wall that wait for the device.
- **peer** is ours by what people write by hand with PyTorch, or by a package
  that is installed (`benchmarks/gpu_peers.py`), eagerly, on the same device. So
  PyTorch is needed for this column, and is measured first. Of the check it is
  the same `fit` without it.
- **limit** is ours by what the device needs at least: of look-ups, edges and
  pixels the time to read each input once and write each result once, of
  networks that of their multiplications. Bandwidth and peak are measured at the
  start, by a large copy and a large product of matrices, and the best of the
  backends counts.
- **MB** is the most memory above inputs and weights.

`--quick` takes small images and few rounds, to see on a CPU that it runs.
"""

import argparse
import collections
import functools
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

BACKENDS = ("torch", "jax", "tensorflow")
SHAPES = {"full": [(16, 256, 256), (1, 2160, 3840)], "quick": [(2, 48, 64)]}
NO_TIME = "no time left"
CHECK = "GradientSanityCallback(), six steps"
# What the limit is made of.
BYTES, NETWORK = "bytes", "network"


def read_options():
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    installed = [x for x in BACKENDS if importlib.util.find_spec(x)]
    parser.add_argument(
        "--backends", nargs="+", choices=BACKENDS, default=installed
    )
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="a part of a name")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--into", help=argparse.SUPPRESS)
    return parser.parse_args()


# The backends: each runs functions of tensors, and knows what they take.


class Torch:
    """Runs functions on PyTorch, eagerly or compiled."""

    ways = ("eager", "torch.compile")

    def __init__(self):
        import torch

        self.torch = torch
        # As convolutions have it anyhow.
        torch.backends.cuda.matmul.allow_tf32 = True
        self.on_gpu = torch.cuda.is_available()
        self.device = "cuda" if self.on_gpu else "cpu"
        self.name = torch.cuda.get_device_name() if self.on_gpu else "CPU"

    def step(self, function, arrays, wanted, way):
        """Returns a function that runs one of arrays and waits for it."""
        torch = self.torch
        tensors = [torch.as_tensor(x, device=self.device) for x in arrays]
        if way == "torch.compile":
            torch._dynamo.reset()
            function = torch.compile(function)

        def run():
            if not wanted:
                with torch.no_grad():
                    return function(*tensors)
            inputs = list(tensors)
            for i in wanted:
                inputs[i] = inputs[i].detach().requires_grad_()
            value = function(*inputs)
            return torch.autograd.grad(value, [inputs[i] for i in wanted])

        return functools.partial(self._wait, run)

    def _wait(self, run):
        found = run()
        if self.on_gpu:
            self.torch.cuda.synchronize()
        return found

    def memory(self, run):
        """Returns the bytes that a run needs at most, if that is known."""
        if not self.on_gpu:
            return None
        before = self.torch.cuda.memory_allocated()
        self.torch.cuda.reset_peak_memory_stats()
        run()
        return self.torch.cuda.max_memory_allocated() - before

    def flops(self, run):
        """Returns the operations of the convolutions and products of a run."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops()


class Jax:
    """Runs functions on JAX, compiled."""

    ways = ("jit",)

    def __init__(self):
        import jax

        self.jax = jax
        self.device = jax.devices()[0]
        self.on_gpu = self.device.platform == "gpu"
        self.name = self.device.device_kind if self.on_gpu else "CPU"

    def step(self, function, arrays, wanted, way):
        """Returns a function that runs one of arrays and waits for it."""
        del way
        jax = self.jax
        tensors = [jax.device_put(x, self.device) for x in arrays]
        if wanted:
            function = jax.grad(function, argnums=tuple(wanted))
        compiled = jax.jit(function).lower(*tensors).compile()

        def run():
            return jax.block_until_ready(compiled(*tensors))

        run.compiled = compiled
        return run

    def memory(self, run):
        """Returns the bytes that a run needs at most."""
        found = run.compiled.memory_analysis()
        return found.temp_size_in_bytes + found.output_size_in_bytes

    def flops(self, run):
        """Returns the operations of a run."""
        found = run.compiled.cost_analysis()
        found = found[0] if isinstance(found, list) else found
        return found.get("flops", 0)


class TensorFlow:
    """Runs functions on TensorFlow, in a graph or under XLA."""

    ways = ("graph", "XLA")

    def __init__(self):
        import tensorflow as tf

        self.tf = tf
        found = tf.config.list_physical_devices("GPU")
        self.on_gpu = bool(found)
        for gpu in found:
            tf.config.experimental.set_memory_growth(gpu, True)
        details = [tf.config.experimental.get_device_details(x) for x in found]
        self.name = details[0].get("device_name", "GPU") if found else "CPU"

    def step(self, function, arrays, wanted, way):
        """Returns a function that runs one of arrays and waits for it."""
        tf = self.tf
        tensors = [tf.convert_to_tensor(x) for x in arrays]

        @tf.function(jit_compile=way == "XLA")
        def traced(*tensors):
            with tf.GradientTape() as tape:
                inputs = [tensors[i] for i in wanted]
                tape.watch(inputs)
                value = function(*tensors)
            return tape.gradient(value, inputs) if wanted else value

        def run():
            found = traced(*tensors)
            # A number of each: it is there when all of them are.
            for x in tf.nest.flatten(found):
                tf.reshape(x, (-1,))[:1].numpy()
            return found

        return run

    def memory(self, run):
        """Returns the bytes that a run needs at most, if that is known."""
        if not self.on_gpu:
            return None
        info = self.tf.config.experimental
        info.reset_memory_stats("GPU:0")
        before = info.get_memory_info("GPU:0")["current"]
        run()
        return info.get_memory_info("GPU:0")["peak"] - before

    def flops(self, run):
        """Returns nothing: PyTorch's count is taken."""
        del run


MACHINES = {"torch": Torch, "jax": Jax, "tensorflow": TensorFlow}


# What is measured: a name, what its limit is made of, and a function that makes
# a step of a machine.


def our_losses():
    """Yields the names of losses, what limits them, and how they are made."""
    import loss_costs

    import keras_perceptual as kp

    edges = [name for name in loss_costs.LOSSES if "Sobel" in name]
    pixels = ["MeanAbsoluteError()", "CharbonnierLoss()"]
    pixels += ["TotalVariationLoss()"]
    networks = ("Perce", "LPIPS", "DISTS", "Contextual")
    losses = {"ColorDifferenceLoss()": kp.ColorDifferenceLoss}
    for name, make in (loss_costs.LOSSES | losses).items():
        limit = BYTES if name in edges + pixels else None
        yield name, NETWORK if name.startswith(networks) else limit, make


def loss_step(make, machine, shape, mixed, way):
    """Returns a step of a loss and its gradient, and the least bytes."""
    import keras

    policy = "mixed_bfloat16" if mixed else "float32"
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        loss = make()
    finally:
        keras.config.set_dtype_policy(before)
    arrays = images(shape, 2)
    step = machine.step(lambda x, y: loss(x, y), arrays, [1], way)
    return step, 3 * arrays[0].nbytes


def layer_step(kind, gradients, machine, shape, mixed, way):
    """Returns a step of a layer, and the least bytes that it moves."""
    import keras

    import keras_perceptual as kp

    policy = "mixed_bfloat16" if mixed else "float32"
    x, y = images(shape, 2)
    if kind == "adaptive":
        layer = kp.AdaptiveLookupColorLayer(33, dtype=policy)
    elif kind == "curves":
        layer = kp.LookupColorLayer(33, shaper_size=256, dtype=policy)
    else:
        layer = kp.LookupColorLayer(33, interpolation=kind, dtype=policy)
    layer.build(x.shape)
    state = [
        keras.ops.convert_to_numpy(v.value) for v in layer.trainable_variables
    ]
    others = [v.value for v in layer.non_trainable_variables]

    def apply(x, *variables):
        return layer.stateless_call(variables, others, x)[0]

    if not gradients:
        return machine.step(apply, [x, *state], [], way), 2 * x.nbytes

    def energy(x, y, *variables):
        found = keras.ops.cast(apply(x, *variables), "float32")
        return keras.ops.mean((found - y) ** 2)

    wanted = [0, *range(2, 2 + len(state))]
    step = machine.step(energy, [x, y, *state], wanted, way)
    return step, 3 * x.nbytes


def images(shape, count):
    """Returns batches of noise, shaped `(batch, height, width, 3)`."""
    import numpy as np

    rng = np.random.default_rng(0)
    return [
        rng.uniform(size=(*shape, 3)).astype("float32") for _ in [0] * count
    ]


LAYERS = ("tetrahedral", "linear", "curves", "adaptive")


def works(only):
    """Returns names, limits, and functions that make steps."""
    found = []
    for kind in LAYERS:
        for gradients in (False, True):
            title = "both gradients" if gradients else "forward"
            make = functools.partial(layer_step, kind, gradients)
            found.append((f"cube of 33, {kind}, {title}", BYTES, make))
    for name, limit, make in our_losses():
        found.append((name, limit, functools.partial(loss_step, make)))
    return [work for work in found if only in work[0]]


def peers(machine):
    """Returns functions that make the steps of peers, by the name of ours."""
    import gpu_peers
    import torch

    def loss(function):
        def make(shape, mixed):
            pair = [x.transpose(0, 3, 1, 2).copy() for x in images(shape, 2)]
            return machine.step(cast(function, mixed), pair, [1], "eager")

        return make

    def cast(function, mixed):
        def run(*tensors):
            with torch.autocast(machine.device, torch.bfloat16, enabled=mixed):
                return function(*tensors)

        return run

    def look_up(gradients):
        def make(shape, mixed):
            import numpy as np

            x, y = (v.transpose(0, 3, 1, 2).copy() for v in images(shape, 2))
            cube = np.random.default_rng(1).uniform(size=(1, 3, 33, 33, 33))
            cube = cube.astype("float32")
            if not gradients:
                function = cast(gpu_peers.look_up, mixed)
                return machine.step(function, [x, cube], [], "eager")

            def energy(x, y, cube):
                return (gpu_peers.look_up(x, cube) - y).square().mean()

            return machine.step(
                cast(energy, mixed), [x, y, cube], [0, 2], "eager"
            )

        return make

    found = {
        name: loss(function)
        for name, function in gpu_peers.losses(machine.device).items()
    }
    for kind in ("tetrahedral", "linear"):
        found[f"cube of 33, {kind}, forward"] = look_up(False)
        found[f"cube of 33, {kind}, both gradients"] = look_up(True)
    return found


# Measuring.


def median_ms(run, rounds, most=2.0):
    """Returns the median of some rounds, after two that do not count."""
    for _ in range(2):
        run()
    spent, start = [], time.perf_counter()
    while len(spent) < rounds and time.perf_counter() - start < most:
        began = time.perf_counter()
        run()
        spent.append(1e3 * (time.perf_counter() - began))
    return statistics.median(spent)


def limits(machine, quick):
    """Returns the bytes a second of a copy, and the peaks of products."""
    import keras
    import numpy as np

    side = 512 if quick else 8192
    x = np.ones((4 * side, side), "float32")
    copy = machine.step(lambda x: x + 1.0, [x], [], machine.ways[0])
    found = {"bandwidth": 2 * x.nbytes / median_ms(copy, 9) * 1e3}
    x = np.ones((side, side), "float32")
    for name, dtype in (("float32", "float32"), ("mixed", "bfloat16")):

        def product(x, dtype=dtype):
            x = keras.ops.cast(x, dtype)
            return keras.ops.matmul(x, x)

        run = machine.step(product, [x], [], machine.ways[0])
        found[name] = 2 * side**3 / median_ms(run, 9) * 1e3
    return found


def check_costs(rounds, quick):
    """Returns milliseconds of six steps, with the check and without."""
    import keras
    import numpy as np

    import keras_perceptual as kp

    side = 16 if quick else 128
    x = np.random.default_rng(0).uniform(size=(6 * 16, side, side, 3))
    x = x.astype("float32")

    def fit(callbacks):
        model = keras.Sequential(
            [keras.Input((side, side, 3))]
            + [
                keras.layers.Conv2D(32, 3, padding="same", activation="relu")
                for _ in range(8)
            ]
            + [keras.layers.Conv2D(3, 3, padding="same")]
        )
        model.compile("adam", "mse")
        start = time.perf_counter()
        model.fit(x, x, batch_size=16, verbose=0, callbacks=callbacks)
        return 1e3 * (time.perf_counter() - start)

    fit([])
    pairs = [
        (fit([kp.GradientSanityCallback()]), fit([])) for _ in range(rounds)
    ]
    return [statistics.median(column) for column in zip(*pairs, strict=True)]


def plan(machine, shapes):
    """Returns shapes, precisions and ways, those that matter most first."""
    first, *others = machine.ways
    small, large = shapes[0], shapes[-1]
    order = [(small, False, first), (large, False, first), (small, True, first)]
    order += [(small, False, way) for way in others]
    order += [(large, True, first), *((small, True, way) for way in others)]
    return list(dict.fromkeys(order))


def work_off(options):
    """Measures on one backend, and writes rows as they are found."""
    backend = options.worker
    machine = MACHINES[backend]()
    shapes = SHAPES["quick" if options.quick else "full"]
    deadline = time.perf_counter() + options.seconds
    bounds = limits(machine, options.quick)
    write(options, {"backend": backend, "device": machine.name, **bounds})
    if options.only in CHECK:
        ours, without = check_costs(3, options.quick)
        row = {"name": CHECK, "limit_by": None, "shape": None, "mixed": False}
        row |= {"way": "fit", "backend": backend}
        write(options, row | {"ms": ours, "peer_ms": without})
    theirs = peers(machine) if backend == "torch" else {}
    for shape, mixed, way in plan(machine, shapes):
        for name, limit, make in works(options.only):
            row = {
                "name": name,
                "limit_by": limit,
                "shape": shape,
                "mixed": mixed,
                "way": way,
                "backend": backend,
            }
            if time.perf_counter() > deadline:
                write(options, row | {"error": NO_TIME})
                continue
            try:
                step, least = make(machine, shape, mixed, way)
                row["ms"] = median_ms(step, options.rounds)
                row["bytes"] = least
                row["memory"] = machine.memory(step)
                if limit == NETWORK and way != "torch.compile":
                    row["flops"] = machine.flops(step)
                del step
                if name in theirs and way == machine.ways[0]:
                    peer = theirs[name](shape, mixed)
                    row["peer_ms"] = median_ms(peer, options.rounds)
                    del peer
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"
            write(options, row)


def write(options, row):
    """Appends a row to the file that the first process reads."""
    with open(options.into, "a") as file:
        file.write(json.dumps(row) + "\n")


# The table.


def key_of(row):
    """Returns what rows of several backends have in common."""
    return row["name"], str(row["shape"]), row["mixed"]


def show(rows, bounds):
    """Prints the table."""
    known = {}
    # The device can do what one backend does.
    bound = {
        part: max((x[part] for x in bounds.values()), default=None)
        for part in ("bandwidth", "float32", "mixed")
    }
    for row in rows:
        for part in ("peer_ms", "flops"):
            if row.get(part):
                known.setdefault((part, *key_of(row)), row[part])
    print("| work | images | type | how | ms | peer | limit | MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        if "ms" not in row:
            continue
        ms = row["ms"]
        peer = row.get("peer_ms") or known.get(("peer_ms", *key_of(row)))
        precision = "mixed" if row["mixed"] else "float32"
        least = None
        if row["limit_by"] == BYTES:
            least = row["bytes"] / bound["bandwidth"]
        elif row["limit_by"] == NETWORK:
            flops = row.get("flops") or known.get(("flops", *key_of(row)))
            least = flops and flops / bound[precision]
        shape = row["shape"]
        cells = [
            f"`{row['name']}`",
            "x".join(map(str, shape)) if shape else "",
            precision,
            f"{row['backend']}, {row['way']}",
            f"{ms:.3g}",
            f"{ms / peer:.2f}" if peer else "-",
            f"{ms / (1e3 * least):.1f}" if least else "-",
            f"{row['memory'] / 1e6:.0f}" if row.get("memory") else "-",
        ]
        print(f"| {' | '.join(cells)} |")


def main():
    """Runs each backend in a process of its own, and prints the table."""
    options = read_options()
    if options.worker:
        work_off(options)
        return
    start, rows, bounds, broken = time.perf_counter(), [], {}, []
    backends = sorted(options.backends, key=BACKENDS.index)
    for index, backend in enumerate(backends):
        left = options.seconds - (time.perf_counter() - start)
        # Half a minute goes into starting.
        share = max(left / (len(backends) - index) - 30, 30)
        environment = os.environ | {
            "KERAS_BACKEND": backend,
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # On a CPU that others use, PyTorch's threads wait in vain.
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        with tempfile.TemporaryDirectory() as folder:
            into = pathlib.Path(folder) / "rows"
            into.touch()
            command = [sys.executable, __file__, "--worker", backend]
            command += ["--into", str(into), "--seconds", str(share)]
            command += ["--rounds", str(options.rounds), "--only", options.only]
            command += ["--quick"] * options.quick
            done = subprocess.run(command, env=environment, check=False)
            lines = into.read_text().splitlines()
        if done.returncode or not lines:
            broken.append(f"{backend} ended with status {done.returncode}")
        found = [json.loads(line) for line in lines]
        for row in found[:1]:
            bounds[backend] = row
            print(
                f"{backend} on {row['device']}: {row['bandwidth'] / 1e9:.0f} "
                f"GB/s, {row['float32'] / 1e12:.2f} TFLOPS in float32, "
                f"{row['mixed'] / 1e12:.2f} in bfloat16",
                flush=True,
            )
        rows += found[1:]
    print()
    show(rows, bounds)
    late = collections.Counter()
    for row in rows:
        if "error" in row:
            where = f"{row['backend']}, {row['way']}, {row['shape']}"
            where += ", mixed" * row["mixed"]
            if row["error"] == NO_TIME:
                late[where] += 1
                continue
            what = f"{where}, {row['name']}"
            print(f"not measured: {what}: {row['error'][:200]}")
            if not is_full(row["error"]):
                broken.append(what)
    for where, count in late.items():
        print(f"{NO_TIME} for {count} of {where}")
    if broken:
        raise SystemExit("failed: " + "; ".join(broken))


def is_full(error):
    """Whether an error says that there is not memory enough."""
    return "memory" in error.lower() or "RESOURCE_EXHAUSTED" in error


if __name__ == "__main__":
    main()
