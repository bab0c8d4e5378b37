"""Faults that are planted in the programs, each at a line that is marked.

A line that ends in `# fault: kind` is the one that a message has to name first
where a fault of that kind is planted. A program is built with a `Plant`: it
calls `plant.tap` on a value between trainable layers and the loss, or, where a
Functional model is built, `plant.put`; it passes its loss through `plant.loss`,
and asks `plant.in_step` where it has a step of its own.
"""

import dataclasses
import functools
import pathlib
import re

import keras
from keras import layers, ops


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is right for a kind of fault.

    Attributes:
        status: The status of the variables that it deprives, or several
            that are right.
        raised: Whether the fit has to be stopped; a report is enough where
            another batch may end it.
        where: What is planted: the `"tap"`, the `"graph"` of a Functional
            model, the `"loss"` or the `"step"`.
        backends: On which backends such a program runs at all.
        like: A kind that keeps the same variables from moving.
    """

    status: tuple = ("missing",)
    raised: bool = True
    where: str = "tap"
    backends: tuple = ("tensorflow", "jax", "torch")
    like: str = "stop_gradient"


ZERO = ("zero",)
NONFINITE = ("nonfinite",)
# Some backends fill in zeros where there is no gradient.
EITHER = ("missing", "zero")

KINDS = {
    "round": Kind(),
    "argmax": Kind(),
    "integers": Kind(),
    "stop_gradient": Kind(),
    "compare": Kind(),
    # JAX refuses to differentiate a callback, with an error of its own.
    "numpy": Kind(backends=("tensorflow", "torch")),
    "times_zero": Kind(ZERO, like="times_zero"),
    "dead_relu": Kind(ZERO, like="dead_relu"),
    "clip": Kind(ZERO, like="clip"),
    "sqrt": Kind(NONFINITE),
    "log": Kind(NONFINITE),
    "custom": Kind(EITHER, raised=False),
    # Another batch may take the other branch.
    "in_cond": Kind(EITHER, raised=False, like="round"),
    "in_both": Kind(EITHER, like="in_both"),
    "in_loop": Kind(EITHER, like="round"),
    # JAX does not differentiate such a loop.
    "in_while": Kind(EITHER, like="round", backends=("tensorflow", "torch")),
    "in_map": Kind(EITHER, like="round"),
    "in_function": Kind(),
    # Where a Functional model is built, no line runs while it trains.
    "functional": Kind(where="graph"),
    "untracked": Kind(("untracked",)),
    "unused": Kind(),
    "ignores": Kind(where="loss", like="ignores"),
    "forgets": Kind(where="step"),
    "asks": Kind(where="step"),
    "freezes": Kind(where="step"),
    "drops": Kind(where="step"),
}


@keras.saving.register_keras_serializable(package="planted")
class Fault(layers.Layer):
    """A layer that spoils the gradient of what goes through it.

    Args:
        kind: One of `KINDS` that are planted at a tap.
    """

    def __init__(self, kind, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind
        self.supports_masking = True
        if kind == "untracked":
            # Inside an object that Keras does not look into.
            self.holder = _Holder(keras.Variable([1.0], name="scale"))

    def build(self, input_shape):
        """Creates what some kinds hold."""
        if self.kind == "unused":
            self.probe = layers.Dense(4, name="probe")
            self.probe.build(input_shape)

    def compute_output_spec(self, x):
        """Says that the shape stays, so that `call` runs while training."""
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def call(self, x):
        """Applies the fault."""
        return getattr(self, f"_{self.kind}")(x)

    def _round(self, x):
        return ops.round(x * 8) / 8  # fault: round

    def _argmax(self, x):
        best = ops.argmax(x, axis=-1)  # fault: argmax
        return ops.cast(ops.one_hot(best, x.shape[-1]), x.dtype)

    def _integers(self, x):
        levels = ops.cast(x * 8, "int32")  # fault: integers
        return ops.cast(levels, x.dtype) / 8

    def _stop_gradient(self, x):
        return ops.stop_gradient(x)  # fault: stop_gradient

    def _compare(self, x):
        return ops.cast(x > 0, x.dtype)  # fault: compare

    def _numpy(self, x):
        if keras.backend.backend() == "torch":
            values = x.detach().cpu().numpy()  # fault: numpy
            return ops.convert_to_tensor(values * 0.5)
        import tensorflow as tf

        y = tf.numpy_function(lambda v: v * 0.5, [x], x.dtype)  # fault: numpy
        y.set_shape(x.shape)
        return y

    def _times_zero(self, x):
        return x * 0.0  # fault: times_zero

    def _dead_relu(self, x):
        return ops.relu(x - 1e6)  # fault: dead_relu

    def _clip(self, x):
        return ops.clip(x + 1e6, -1.0, 1.0)  # fault: clip

    def _sqrt(self, x):
        return x + ops.sqrt(x - x)  # fault: sqrt

    def _log(self, x):
        return x + ops.log(x - x)  # fault: log

    def _custom(self, x):
        return _without_gradient(x * 0.5)  # fault: custom

    def _in_cond(self, x):
        return ops.cond(
            ops.mean(x) > -1e6,
            lambda: ops.round(x * 8) / 8,  # fault: in_cond
            lambda: x,
        )

    def _in_both(self, x):
        return ops.cond(
            ops.mean(x) > 0.0,
            lambda: ops.round(x * 8) / 8,  # fault: in_both
            lambda: ops.floor(x * 8) / 8,  # fault: in_both
        )

    def _in_loop(self, x):
        def turn(_, state):
            state = ops.round(state * 8)  # fault: in_loop
            return state / 8

        return ops.fori_loop(0, 2, turn, x)

    def _in_while(self, x):
        def turn(count, state):
            state = ops.round(state * 8)  # fault: in_while
            return count + 1, state / 8

        return ops.while_loop(lambda count, _: count < 2, turn, (0, x))[1]

    def _in_map(self, x):
        def quantize(row):
            return ops.round(row * 8) / 8  # fault: in_map

        return ops.map(quantize, x)

    def _in_function(self, x):
        def quantize(values):
            return ops.round(values * 8) / 8  # fault: in_function

        return _apart(quantize, x)

    def _drops(self, x):
        return ops.round(x * 8) / 8  # fault: drops

    def _untracked(self, x):
        scale = ops.convert_to_tensor(self.holder.scale)
        return x * ops.cast(scale, x.dtype)  # fault: untracked

    def _unused(self, x):
        return x


@ops.custom_gradient
def _without_gradient(x):
    """Returns what it is given, with zeros for a gradient."""

    def gradient(*args, upstream=None):
        return ops.zeros_like(args[0] if upstream is None else upstream)

    return x, gradient


def _apart(function, x):
    """Calls a function as one that is compiled or checkpointed by itself."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)(x)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)(x)
    from torch.utils.checkpoint import checkpoint

    return checkpoint(function, x, use_reentrant=False)


class _Holder:
    """An object whose attributes Keras does not track."""

    def __init__(self, scale):
        self.scale = scale


class Plant:
    """What a program is built with.

    Args:
        kind: One of `KINDS`, or `""` for a healthy program.
        penalty: The weight of the penalties, or the weight decay, of programs
            that have one.

    Attributes:
        planted: Whether the program has a place for such a fault.
        left_out: Paths of the variables that the step leaves out, which the
            program knows once it has trained.
        names: Of what is planted in a Functional model, the names of the
            operation and of the layer that it follows.
    """

    def __init__(self, kind="", penalty=1e-4):
        self.kind = kind
        self.penalty = penalty
        self.planted = not kind
        self.left_out = ()
        self.names = ()

    @property
    def tap(self):
        """What a program calls on a value on its way to the loss."""
        where = KINDS[self.kind].where if self.kind else ""
        self.planted |= where == "tap"
        if where == "tap" or self.kind == "drops":
            return Fault(self.kind, name="fault")
        return layers.Identity(name="fault")

    def put(self, x):
        """What a Functional model is built with at such a place."""
        if self.kind != "functional":
            return self.tap(x)
        self.planted = True
        y = ops.round(x)
        steps = (y._keras_history.operation, x._keras_history.operation)
        self.names = tuple(step.name for step in steps)
        return y

    def loss(self, loss):
        """Returns the loss, or one that never looks at the prediction."""
        if self.kind != "ignores":
            return loss
        self.planted = True

        def constant(y_true, y_pred):
            distance = ops.cast(y_true, "float32") - 0.5
            return ops.mean(ops.square(distance))  # fault: ignores

        return constant

    def in_step(self, kind):
        """Says whether a step of a program's own has to make this mistake."""
        self.planted |= self.kind == kind
        return self.kind == kind

    def leave_out(self, variables):
        """Returns all variables but the first two, which it remembers."""
        self.left_out = tuple(variable.path for variable in variables[:2])
        return variables[2:]


@functools.cache
def expected_lines(kind):
    """Returns where a kind is planted, as a set of (file name, line)."""
    mark = re.compile(rf"# fault: {kind}$")
    return {
        (file.name, number)
        for file in pathlib.Path(__file__).parent.glob("*.py")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if mark.search(line)
    }
