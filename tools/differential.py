"""Compares random configurations in every mode of execution.

    KERAS_BACKEND=jax python tools/differential.py --count 1000 --seed 0

draws configurations of every public loss, layer and metric and images for
each, also with equal, black, saturated, stray and hidden places, with weights
and masks, encoded targets, tables that are given, and both layouts. Each is
computed eagerly in float32, which is the reference, and compared with

- the other modes of the backend: on TensorFlow a graph, a graph of images of
  an unknown size, and XLA; on JAX `jit`; on PyTorch `torch.compile`, with
  `--compile`;
- float64;
- the object that its configuration revives, through JSON;
- for what is looked at through windows, the whole image.

Values differ if they are off by more than 1e-5 of themselves, gradients if by
more than 1e-4 of their largest entry: those of the images, of a table that is
given, and of the weights of a layer. Differences that are known are printed
with their reason, others with the configuration, and the exit status is 1.
`--save FILE` keeps the references, and the objects with their weights.
`--against FILE` compares with them, on another backend or in another process:
the objects are then those that the file revives. `--only NAME` draws one class,
again and again for several.
"""

import argparse
import collections
import contextlib
import functools
import json
import pathlib
import sys

import differential_cases as cases
import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
VALUE, GRADIENT = 1e-5, 1e-4
HALF = ("mixed_float16", "mixed_bfloat16")
OPTIONS = {"compile": False}

FLAT = "a maximum over features that are equal but for rounding"
NEAR_ONE = "one minus a distance of nearly one"
# Of losses, also within metrics, and of metrics: what magnifies rounding, by
# what differs, and the largest difference that was measured, rounded up. That
# it is rounding is shown anew for each difference, see `Doubt`.
REASONS = {
    ("AdaptiveLookupColorLayer", "value"): (
        5e-5,
        "what its network normalizes, layer after layer",
    ),
    ("DISTS", "gradient"): (
        1e-2,
        "its constants under roots and ratios, 1e-12 and 1e-6",
    ),
    ("ColorDifferenceLoss", "gradient"): (
        2e-3,
        "the direction from one color to another that is nearly the same",
    ),
    ("ContextualLoss", "value"): (
        5e-5,
        "one minus the cosine of features that are nearly parallel",
    ),
    ("LPIPS", "gradient"): (0.5, FLAT),
    ("PerceptualLoss", "gradient"): (0.05, FLAT),
    ("MDSILoss", "gradient"): (
        2e-3,
        "the fourth root of similarities of about 0",
    ),
    ("MSSSIMMetric", "value"): (5e-5, NEAR_ONE),
    ("SSIMMetric", "value"): (5e-5, NEAR_ONE),
}
# How far a network of half precision may be off: of 8 bits, the last two.
HALF_OFF = {"value": 1e-2, "gradient": 0.5}
# Noise, as a part of the range, that stands for what float32 rounds in a
# network; and how much more than it a difference may be.
NOISE, FACTOR = 1e-6, 3


def sources(case, given):
    """Returns the names of what is differentiated by."""
    if case["name"] in cases.METRICS or case["use"]["call"] == "tile":
        return []
    names = ["pred", "table"]
    if not cases.is_encoded(case):
        names.append("true")
    return [
        name
        for name in names
        if name in given and "float" in str(given[name].dtype)
    ]


def weights_in(made):
    """Returns the weights that a layer learns."""
    return made.trainable_weights if isinstance(made, keras.Layer) else []


def modes(case, made, given):
    """Yields the ways in which the backend computes a value and gradients.

    Args:
        case: The case.
        made: Function that returns the object of the case.
        given: Dictionary of what goes in.

    Yields:
        Pairs of a name and a function of what goes in.
    """
    names = sources(case, given)
    build = {"tensorflow": _modes_of_tensorflow, "jax": _modes_of_jax}.get(
        BACKEND, _modes_of_torch
    )
    return build(case, made, given, names)


def _modes_of_tensorflow(case, made, given, names):
    import tensorflow as tf

    def step():
        found = made()
        function = cases.function_of(case, found)
        weights = [v.value for v in weights_in(found)]

        def compute(given):
            with tf.GradientTape() as tape:
                for name in names:
                    tape.watch(given[name])
                value = function(given)
            wanted = [given[name] for name in names] + weights
            return value, tape.gradient(
                value, wanted, unconnected_gradients="zero"
            )

        return compute

    def spec(name, x):
        shape = list(x.shape)
        is_image = name in ("true", "pred", "weights") and len(shape) != 2
        if is_image and case["use"]["call"] != "table":
            shape = [None] * len(shape)
            if len(x.shape) > 3:
                first = case["settings"]["data_format"] == "channels_first"
                axis = -3 if first else -1
                shape[axis] = x.shape[axis]
        return tf.TensorSpec(shape, x.dtype)

    specs = {name: spec(name, x) for name, x in given.items()}
    yield "eager", step()
    yield "graph", tf.function(step())
    yield "unknown size", tf.function(step(), input_signature=[specs])
    yield "xla", tf.function(step(), jit_compile=True)


def _modes_of_jax(case, made, given, names):
    import jax

    found = made()
    function = cases.function_of(case, found)
    weights = weights_in(found)

    def compute(wanted, values, others):
        state = zip(weights, values, strict=True)
        scope = contextlib.nullcontext()
        if weights:
            scope = keras.StatelessScope(state_mapping=list(state))
        with scope:
            return function({**wanted, **others})

    def run(step):
        def compute(given):
            given = dict(given)
            wanted = {name: given.pop(name) for name in names}
            values = [v.value for v in weights]
            value, (images, values) = step(wanted, values, given)
            return value, [*(images[name] for name in names), *values]

        return compute

    step = jax.value_and_grad(compute, argnums=(0, 1))
    yield "eager", run(step)
    yield "jit", run(jax.jit(step))


def _modes_of_torch(case, made, given, names):
    import torch

    def step():
        found = made()
        function = cases.function_of(case, found)
        weights = [v.value for v in weights_in(found)]

        def compute(given):
            wanted = {
                name: given[name].clone().requires_grad_() for name in names
            }
            value = function({**given, **wanted})
            wanted = [*wanted.values(), *weights]
            if not wanted:
                return value.detach(), []
            gradients = torch.autograd.grad(value, wanted, allow_unused=True)
            return value.detach(), [
                torch.zeros_like(x) if found is None else found
                for x, found in zip(wanted, gradients, strict=True)
            ]

        return compute

    yield "eager", step()
    if OPTIONS["compile"]:
        torch._dynamo.reset()
        yield "compiled", torch.compile(step())


def measure(case, step, given):
    """Returns the value and the gradients that a step gives."""
    if cases.keeps_state(case):
        step(given)
    value, gradients = step(given)
    return float(value), [
        ops.convert_to_numpy(
            ops.cast(x, "float64" if _is_wide() else "float32")
        )
        for x in gradients
    ]


def _is_wide():
    """Whether tensors may be of double precision."""
    return str(ops.convert_to_tensor(np.zeros(1)).dtype).endswith("float64")


@contextlib.contextmanager
def double():
    """Lets tensors be of double precision, which JAX has to be told."""
    if BACKEND != "jax":
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield


def prepare(case, made, images, dtype="float32"):
    """Returns what goes in as tensors, the targets encoded if asked for."""
    given = {
        name: ops.convert_to_tensor(
            x if x.dtype == "uint8" else x.astype(dtype)
        )
        for name, x in images.items()
    }
    if cases.is_encoded(case):
        loss = getattr(made, "loss", made)
        weights = given.get("weights")
        mask = None
        if weights is not None and len(weights.shape) == 3:
            mask = weights
        given["true"] = loss.encode(given["true"], mask)
    return given


def differences(found, expected):
    """Returns by how much a value and gradients are off."""
    value = abs(found[0] - expected[0]) / max(abs(expected[0]), 1e-6)
    gradient = 0.0
    for one, other in zip(found[1], expected[1], strict=True):
        if other.size:
            scale = max(np.abs(other).max(), 1e-12)
            gradient = np.fmax(np.abs(one - other).max() / scale, gradient)
            if not np.isfinite(one).all():
                gradient = np.nan
    return {"value": float(value), "gradient": float(gradient)}


class Doubt:
    """Whether a difference of a case is one of rounding.

    Args:
        case: The case.
        made: Its object.
    """

    def __init__(self, case, made):
        self.case, self.made = case, made

    @functools.cached_property
    def sensitivity(self):
        """How much noise changes value and gradients, in double precision."""
        images = cases.images_of(self.case)
        low, high = self.case["settings"]["value_range"]
        rng = np.random.default_rng(0)
        noisy = [
            {
                name: x
                if name not in ("true", "pred") or x.dtype == "uint8"
                else x + NOISE * (high - low) * rng.normal(size=x.shape)
                for name, x in images.items()
            }
            for _ in range(3)
        ]
        with double():
            exact, *others = (
                measure_precisely(self.case, self.made, x)
                for x in (images, *noisy)
            )
        found = [differences(x, exact) for x in others]
        most = {
            what: max(x[what] for x in found) for what in ("value", "gradient")
        }
        _, reason = REASONS.get((self.case["name"], "value"), (0, None))
        if reason is NEAR_ONE:
            # What is left of one keeps the rounding of one.
            rounding = np.finfo("float32").eps / max(abs(exact[0]), 1e-6)
            most["value"] = max(most["value"], float(rounding))
        return most

    @functools.cached_property
    def in_single(self):
        """How far the modes of a case in half precision are off in single."""
        settings = {**self.case["settings"], "dtype": "float32"}
        _, _, found = compare({**self.case, "settings": settings})
        return found

    def reason(self, mode, what, size):
        """Returns why a difference is right, or `None`.

        Args:
            mode: String, the mode that is off.
            what: `"value"` or `"gradient"`.
            size: Float, by how much.
        """
        if self.case["settings"].get("dtype") in HALF:
            off = self.in_single.get(mode, {}).get(what, 0)
            limit = 10 * {"value": VALUE, "gradient": GRADIENT}[what]
            if size <= HALF_OFF[what] and off <= limit:
                return f"half precision, {off:.1e} in single"
            return None
        for name in (self.case["name"], cases.loss_in(self.case)):
            most, reason = REASONS.get((name, what), (0, None))
            if size <= most and size <= FACTOR * self.sensitivity[what]:
                return (
                    f"{reason}: noise of {NOISE:.0e} changes it by "
                    f"{self.sensitivity[what]:.1e}"
                )
        return None


def compare(case, kept=None):
    """Returns the object of a case, its reference, and how far modes are off.

    Args:
        case: The case.
        kept: What `keep` returned of an object to revive, or `None`.
    """

    def again():
        return made if not cases.keeps_state(case) else make()

    def make():
        return revive(case, kept) if kept else cases.make(case)

    made = make()
    images = cases.images_of(case)
    given = prepare(case, made, images)
    found, reference = {}, None
    for mode, step in modes(case, again, given):
        result = measure(case, step, given)
        if reference is None:
            reference = result
        else:
            found[mode] = differences(result, reference)
    if case["settings"].get("dtype", "float32") == "float32":
        with double():
            found["float64"] = differences(
                measure_precisely(case, made, images), reference
            )
    kept = json.loads(json.dumps(keep(made)))
    revived = revive(case, kept)
    _, step = next(iter(modes(case, lambda: revived, given)))
    found["revived"] = differences(measure(case, step, given), reference)
    if case["use"]["call"] == "tile":
        whole = {**case, "use": {**case["use"], "call": "per_image"}}
        _, step = next(iter(modes(whole, again, given)))
        value, _ = measure(whole, step, given)
        found["whole"] = differences((value, []), (reference[0], []))
    return made, reference, found


def measure_precisely(case, made, images):
    """Returns the value and the gradients in double precision."""
    precise = cases.make(case, "float64")
    if isinstance(made, keras.Layer):
        precise.set_weights(made.get_weights())
    given = prepare(case, precise, images, "float64")
    _, step = next(iter(modes(case, lambda: precise, given)))
    return measure(case, step, given)


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
    if isinstance(made, keras.Layer) and kept["weights"]:
        if not made.built:
            made.build(cases.layout(case, cases.shape_of(case)))
        made.set_weights([np.array(w, "float32") for w in kept["weights"]])
    return made


def judge(found, reason_for):
    """Returns differences without a reason, and those with one.

    Args:
        found: Dictionary from modes to differences.
        reason_for: Function of a mode, of what differs and by how much, which
            returns a reason or `None`.

    Returns:
        Two lists of a mode, what differs, by how much, and the reason.
    """
    bad, known = [], []
    for mode, sizes in found.items():
        for what, limit in (("value", VALUE), ("gradient", GRADIENT)):
            if not sizes[what] <= limit:
                reason = reason_for(mode, what, sizes[what])
                entry = (mode, what, float(sizes[what]), reason)
                (bad if reason is None else known).append(entry)
    return bad, known


def run(count, seed, save=None, against=None, report=None, names=None):
    """Compares so many configurations.

    Args:
        count: Integer, how many.
        seed: Integer, of what is drawn.
        save: Path of a file to keep the references in, or `None`.
        against: Path of such a file: its objects are revived and compared
            with its references. `None` makes objects anew.
        report: Function of a line of text, or `None` for silence.
        names: The classes to draw, or `None` for all.

    Returns:
        Two numbers: of differences without a reason, and of those with one;
        and how many configurations there were of each class.
    """
    rng = np.random.default_rng(seed)
    others = json.loads(pathlib.Path(against).read_text()) if against else None
    report = report or (lambda line: None)
    kept, totals, drawn = [], [0, 0], collections.Counter()
    for index in range(count):
        case = cases.draw(rng, names)
        if BACKEND == "jax" and cases.keeps_state(case):
            # JAX has no other way to carry a balance along than in `fit`.
            kept.append(None)
            continue
        other = others[index] if others else None
        drawn[case["name"]] += 1
        try:
            made, reference, found = compare(case, other)
        except Exception as error:
            report(f"{case['name']} fails: {error!r}: {json.dumps(case)}")
            raise
        if other:
            expected = other["value"], [np.array(x) for x in other["gradients"]]
            found["other"] = differences(reference, expected)
        if save:
            value, gradients = reference
            gradients = [x.astype("float32").tolist() for x in gradients]
            kept.append({"value": value, "gradients": gradients, **keep(made)})
        bad, known = judge(found, Doubt(case, made).reason)
        for entries in (bad, known):
            for mode, what, size, reason in entries:
                report(
                    f"{case['name']}, {mode}: {what} off by {size:.1e}"
                    + (f" ({reason})" if reason else f": {json.dumps(case)}")
                )
        totals = [totals[0] + len(bad), totals[1] + len(known)]
        if index % 25 == 24:
            keras.utils.clear_session()
    if save:
        pathlib.Path(save).write_text(json.dumps(kept))
    return *totals, drawn


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
    parser.add_argument("--only", action="append", choices=sorted(cases.DRAWS))
    given = parser.parse_args(arguments)
    OPTIONS["compile"] = given.compile

    def report(line):
        print(line, flush=True)

    bad, known, drawn = run(
        given.count, given.seed, given.save, given.against, report, given.only
    )
    print(", ".join(f"{name} {n}" for name, n in sorted(drawn.items())))
    print(
        f"{drawn.total()} configurations on {BACKEND}: {bad} differences "
        f"without a reason, {known} with one"
    )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
