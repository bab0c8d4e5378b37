"""Compares random configurations in every mode of execution.

    KERAS_BACKEND=jax python tools/differential.py --count 1000 --seed 0

draws configurations of every public loss, layer and metric and images for
each, also with equal, black and saturated places. Each is computed eagerly in
float32, which is the reference, and compared with

- the other modes of the backend: on TensorFlow a graph, a graph of an unknown
  batch, and XLA; on JAX `jit`; on PyTorch `torch.compile`, with `--compile`;
- float64, on backends that have it;
- the object that its configuration revives, through JSON.

Values differ if they are off by more than 1e-5 of themselves, gradients if by
more than 1e-4 of their largest entry. Differences that are known are printed
with their reason, others with the configuration, and the exit status is 1.
`--save FILE` keeps the references, and the objects with their weights.
`--against FILE` compares with them, on another backend or in another process:
the objects are then those that the file revives.
"""

import argparse
import json
import pathlib
import sys

import keras
import numpy as np
from keras import ops

import keras_perceptual as kp

BACKEND = keras.backend.backend()
VALUE, GRADIENT = 1e-5, 1e-4

# By class, or all networks, and by what differs: how large a difference is
# right, and why.
REASONS = [
    (
        "networks",
        "gradient",
        0.2,
        "a ReLU or a maximum whose two sides are equal but for rounding",
    ),
    (
        "ContextualLoss",
        "value",
        1e-3,
        "a logarithm of what is about one",
    ),
    (
        "AdaptiveLookupColorLayer",
        "value",
        1e-4,
        "weights of tables that add up features in the hundreds",
    ),
    (
        "AdaptiveLookupColorLayer",
        "gradient",
        1e-2,
        "weights of tables that add up features in the hundreds",
    ),
]
NETWORKS = (
    "PerceptualLoss",
    "LPIPS",
    "LPIPSMetric",
    "DISTS",
    "DISTSMetric",
    "PerceivedDistance",
    "PerceivedDistanceMetric",
    "ContextualLoss",
)


def draw(rng):
    """Returns a random configuration: a name, arguments, and kind of images."""
    name = str(rng.choice(sorted(DRAWS)))
    return {
        "name": name,
        "arguments": DRAWS[name](rng),
        "value_range": [[0, 1], [-1, 1], [0, 255]][rng.integers(3)],
        "images": str(
            rng.choice(["noise", "equal half", "black", "saturated", "smooth"])
        ),
        "shape": [
            int(rng.integers(1, 4)),
            int(rng.integers(36, 49)),
            int(rng.integers(36, 49)),
            3,
        ],
        "seed": int(rng.integers(2**31)),
    }


def one_of(rng, *choices):
    """Returns one of some choices as a plain value."""
    return choices[rng.integers(len(choices))]


DRAWS = {
    "CharbonnierLoss": lambda r: {"epsilon": one_of(r, 1e-3, 1e-2, 0.5)},
    "TotalVariationLoss": lambda r: {
        "norm": one_of(r, "l1", "l2", "isotropic")
    },
    "SSIMLoss": lambda r: {
        "filter_size": one_of(r, 3, 7, 11),
        "filter_sigma": one_of(r, 0.8, 1.5),
    },
    "MSSSIMLoss": lambda r: {
        "weights": one_of(r, [0.5, 0.5], [0.2, 0.3, 0.5]),
        "filter_size": one_of(r, 3, 7),
    },
    "FocalFrequencyLoss": lambda r: {
        "alpha": one_of(r, 0.0, 0.5, 1.0),
        "log_matrix": one_of(r, True, False),
    },
    "SobelGradientLoss": lambda r: {
        "norm": one_of(r, "l1", "l2", "charbonnier"),
        "operator": one_of(r, "sobel", "scharr", "forward", "laplacian"),
        "scales": one_of(r, 1, 2),
        "padding": one_of(r, "reflect", "replicate"),
    },
    "PerceptualLoss": lambda r: {
        "backbone": "alexnet",
        "layers": one_of(r, ["relu1"], ["relu2", "conv3"]),
        "distance": one_of(r, "mse", "mae", "cosine", "lost"),
        "style_weight": one_of(r, 0.0, 1.0),
    },
    "LPIPS": lambda r: {"backbone": "alexnet"},
    "DISTS": lambda r: {},
    "PerceivedDistance": lambda r: {
        "size": one_of(r, "full", "small"),
        "forgive_gain": one_of(r, True, False),
    },
    "ColorDifferenceLoss": lambda r: {
        "difference": one_of(r, "ciede2000", "cie76", "oklab"),
        "blur": one_of(r, 1, 4),
    },
    "ContextualLoss": lambda r: {
        "backbone": "alexnet",
        "layers": ["relu1"],
        "max_features": one_of(r, 16, 49),
    },
    "LookupColorLayer": lambda r: {
        "size": one_of(r, 2, 5, 9),
        "dimensions": one_of(r, 1, 3),
        "extrapolate": one_of(r, "clamp", "linear"),
    },
    "AdaptiveLookupColorLayer": lambda r: {"size": one_of(r, 2, 5)},
    "WeightedSumLoss": lambda r: {
        "weights": [float(x) for x in r.uniform(0.1, 2.0, size=3)],
        "channels": one_of(r, None, {"structure": [0, 2]}),
    },
    "ImageLossMetric": lambda r: {"filter_size": one_of(r, 5, 9)},
    "LPIPSMetric": lambda r: {"linear_heads": one_of(r, True, False)},
    "DISTSMetric": lambda r: {"resize": one_of(r, None, 40)},
    "PerceivedDistanceMetric": lambda r: {"size": "small"},
}
LAYERS = ("LookupColorLayer", "AdaptiveLookupColorLayer")


def make(case, dtype="float32"):
    """Returns the object of a configuration."""
    settings = {"value_range": tuple(case["value_range"]), "dtype": dtype}
    name, arguments = case["name"], case["arguments"]
    if name.endswith("Metric"):
        loss = {
            "ImageLossMetric": kp.SSIMLoss,
            "LPIPSMetric": kp.LPIPS,
            "DISTSMetric": kp.DISTS,
            "PerceivedDistanceMetric": kp.PerceivedDistance,
        }[name](**arguments, **settings)
        return getattr(kp, name)(loss, dtype=dtype)
    if name == "WeightedSumLoss":
        pixels, structure, edges = arguments["weights"]
        return kp.WeightedSumLoss(
            {
                "pixels": (kp.CharbonnierLoss(**settings), pixels),
                "structure": (
                    kp.SSIMLoss(filter_size=5, **settings),
                    structure,
                ),
                "edges": (kp.SobelGradientLoss(**settings), edges),
            },
            channels=arguments["channels"],
        )
    if name == "AdaptiveLookupColorLayer":
        arguments = {
            **arguments,
            "backbone": keras.layers.GlobalAveragePooling2D(dtype=dtype),
        }
    made = getattr(kp, name)(check_range="off", **arguments, **settings)
    if name in LAYERS:
        made.build((None, *case["shape"][1:]))
        numbers = np.random.default_rng(case["seed"])
        made.set_weights(
            [
                x + numbers.normal(0, 0.1, x.shape).astype(x.dtype)
                for x in made.get_weights()
            ]
        )
    return made


def images_of(case):
    """Returns targets and predictions of a case, in its range."""
    rng = np.random.default_rng(case["seed"])
    true, pred = rng.uniform(size=(2, *case["shape"]))
    half = case["shape"][1] // 2
    if case["images"] == "equal half":
        pred[:, :half] = true[:, :half]
    elif case["images"] == "black":
        true[:, :half] = pred[:, :half] = 0
    elif case["images"] == "saturated":
        true, pred = (np.clip(2 * x - 0.5, 0, 1) for x in (true, pred))
    elif case["images"] == "smooth":
        ramp = np.linspace(0, 1, case["shape"][2])[:, None]
        true, pred = (0.9 * ramp + 0.05 * x for x in (true, pred))
    low, high = case["value_range"]
    return [(low + (high - low) * x).astype("float32") for x in (true, pred)]


def scalar_of(made):
    """Returns a scalar function of targets and predictions."""
    if isinstance(made, keras.Layer):
        return lambda true, pred: ops.mean(ops.square(made(pred) - true))
    if isinstance(made, keras.metrics.Metric):
        return lambda true, pred: ops.mean(made.loss.per_image(true, pred))
    return made


def modes(function, dtype="float32"):
    """Yields the ways in which the backend computes a value and a gradient."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        def step(true, pred):
            with tf.GradientTape() as tape:
                tape.watch(pred)
                value = function(true, pred)
            return value, tape.gradient(value, pred)

        spec = 2 * [tf.TensorSpec((None, None, None, 3), dtype)]
        yield "eager", step
        yield "graph", tf.function(step)
        yield "unknown batch", tf.function(step, input_signature=spec)
        yield "xla", tf.function(step, jit_compile=True)
    elif BACKEND == "jax":
        import jax

        step = jax.value_and_grad(function, argnums=1)
        yield "eager", step
        yield "jit", jax.jit(step)
    else:
        import torch

        def step(true, pred):
            pred = pred.clone().requires_grad_()
            value = function(true, pred)
            return value.detach(), *torch.autograd.grad(value, [pred])

        yield "eager", step
        if OPTIONS["compile"]:
            yield "compiled", torch.compile(step)


OPTIONS = {"compile": False}


def measure(step, images, dtype="float32"):
    """Returns the value and the gradient that a step gives."""
    value, gradient = step(
        *(ops.convert_to_tensor(x.astype(dtype)) for x in images)
    )
    return float(value), ops.convert_to_numpy(gradient).astype("float64")


def differences(found, expected):
    """Returns by how much a value and a gradient are off."""
    value = abs(found[0] - expected[0]) / max(abs(expected[0]), 1e-6)
    scale = max(np.abs(expected[1]).max(), 1e-12)
    gradient = np.abs(found[1] - expected[1]).max() / scale
    return {"value": value, "gradient": gradient}


def reason_for(name, what, size):
    """Returns why a difference is right, or `None`."""
    for cls, kind, most, reason in REASONS:
        fits = cls == name or (cls == "networks" and name in NETWORKS)
        if fits and kind == what and size <= most:
            return reason
    return None


def compare(case, made):
    """Returns the reference of a case, and how far each mode is from it."""
    images = images_of(case)
    found, reference = {}, None
    for mode, step in modes(scalar_of(made)):
        result = measure(step, images)
        if reference is None:
            reference = result
        else:
            found[mode] = differences(result, reference)
    if BACKEND != "jax":
        precise = make(case, "float64")
        if isinstance(made, keras.Layer):
            precise.set_weights(made.get_weights())
        _, step = next(iter(modes(scalar_of(precise), "float64")))
        found["float64"] = differences(
            measure(step, images, "float64"), reference
        )
    revived = revive(case, json.loads(json.dumps(keep(made))))
    _, step = next(iter(modes(scalar_of(revived))))
    found["revived"] = differences(measure(step, images), reference)
    return reference, found


def keep(made):
    """Returns an object and its weights as plain values."""
    weights = made.get_weights() if isinstance(made, keras.Layer) else []
    return {
        "object": keras.saving.serialize_keras_object(made),
        "weights": [array.tolist() for array in weights],
    }


def revive(case, kept):
    """Returns the object that `keep` was given."""
    made = keras.saving.deserialize_keras_object(kept["object"])
    if isinstance(made, keras.Layer):
        if not made.built:
            made.build((None, *case["shape"][1:]))
        made.set_weights([np.array(w, "float32") for w in kept["weights"]])
    return made


def judge(name, found):
    """Returns differences without a reason, and those with one.

    Both are lists of a mode, what differs, by how much, and the reason.
    """
    bad, known = [], []
    for mode, sizes in found.items():
        for what, limit in (("value", VALUE), ("gradient", GRADIENT)):
            if not sizes[what] <= limit:
                reason = reason_for(name, what, sizes[what])
                entry = (mode, what, float(sizes[what]), reason)
                (bad if reason is None else known).append(entry)
    return bad, known


def run(count, seed, save=None, against=None, report=None):
    """Compares so many configurations.

    Args:
        count: Integer, how many.
        seed: Integer, of what is drawn.
        save: Path of a file to keep the references in, or `None`.
        against: Path of such a file: its objects are revived and compared
            with its references. `None` makes objects anew.
        report: Function of a line of text, or `None` for silence.

    Returns:
        Two numbers: of differences without a reason, and of those with one.
    """
    rng = np.random.default_rng(seed)
    others = json.loads(pathlib.Path(against).read_text()) if against else None
    report = report or (lambda line: None)
    kept, totals = [], [0, 0]
    for index in range(count):
        case = draw(rng)
        other = others[index] if others else None
        made = revive(case, other) if other else make(case)
        reference, found = compare(case, made)
        if other:
            expected = other["value"], np.array(other["gradient"])
            found["other"] = differences(reference, expected)
        if save:
            value, gradient = reference
            kept.append(
                {"value": value, "gradient": gradient.tolist(), **keep(made)}
            )
        bad, known = judge(case["name"], found)
        for entries in (bad, known):
            for mode, what, size, reason in entries:
                report(
                    f"{case['name']}, {mode}: {what} off by {size:.1e}"
                    + (f" ({reason})" if reason else f": {json.dumps(case)}")
                )
        totals = [totals[0] + len(bad), totals[1] + len(known)]
        if index % 50 == 49:
            keras.utils.clear_session()
    if save:
        pathlib.Path(save).write_text(json.dumps(kept))
    return tuple(totals)


def main(arguments=None):
    """Runs the comparison from a command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--save")
    parser.add_argument("--against")
    given = parser.parse_args(arguments)
    OPTIONS["compile"] = given.compile
    bad, known = run(given.count, given.seed, given.save, given.against, print)
    print(
        f"{given.count} configurations on {BACKEND}: {bad} differences "
        f"without a reason, {known} with one"
    )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
