"""The operations of a training step, for JAX."""

import functools
import itertools
import traceback

import jax
import numpy as np

from keras_perceptual.gradients.dataflow import (
    Dataflow,
    Derivative,
    Operation,
)
from keras_perceptual.gradients.tracers.jax import jaxprs
from keras_perceptual.gradients.tracers.jax.differentiation import (
    differentiate,
    mark_gradients,
)


def describe_data(data):
    """Returns what `trace_step` needs to know of the data of a step."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(np.shape(x), jax.dtypes.result_type(x)),
        data,
    )


def trace_step(step, state, data, variables):
    """Traces a training step into a graph, without running it.

    The gradients that the step asks for are not computed.

    Args:
        step: Function of the state and the data that is a training step.
        state: What `describe_data` returned for the state, in which the
            trainable variables come first.
        data: What `describe_data` returned for the data.
        variables: The Keras variables to follow: the trainable ones of the
            state, in this order, and others that the state does not contain.

    Returns:
        The step as a `Dataflow`. The key of a variable is its `id`.
    """

    def traced(state, data):
        # JAX keeps traces by function, and this one is new every time.
        return step(state, data)

    with mark_gradients():
        closed = jax.make_jaxpr(traced)(state, data)
    reader = Reader()
    values = [reader.new_value() for _ in closed.jaxpr.invars]
    in_state = len(jax.tree.leaves(state[0]))
    holders = dict(zip(values, map(id, variables[:in_state]), strict=False))
    for variable in variables[in_state:]:
        # What is not part of the state goes in as a constant.
        value = reader.constants[id(variable.value)] = reader.new_value()
        holders[value] = id(variable)
    reader.read(closed.jaxpr, closed.consts, values)
    if not reader.marks:
        raise ValueError(
            "The step computes gradients by neither `jax.grad` nor "
            f"`jax.value_and_grad`. Received: step={step!r}"
        )
    return Dataflow(
        operations=tuple(reader.operations),
        holders=holders,
        derivatives=tuple(
            Derivative(
                (target,),
                frozenset(holders[v] for v in sources if v in holders),
            )
            for target, *sources in reader.marks
        ),
        passes=Passes(),
    )


class Reader:
    """Collects the operations of a traced computation.

    What is called once is taken apart, but for functions with a gradient of
    their own.

    Attributes:
        operations: The operations read so far.
        marks: The inputs of each mark that `mark_gradients` left.
        constants: Keys of the constants to follow, by their `id`.
    """

    def __init__(self):
        self.operations = []
        self.marks = []
        self.constants = {}
        self.new_value = itertools.count().__next__
        # Many operations are created on the same line.
        self._frames_of = functools.cache(_frames)

    def read(self, jaxpr, constants, inputs, scope=(), frames=()):
        """Reads a computation and returns its outputs.

        Args:
            jaxpr: The computation.
            constants: The constants in it.
            inputs: Keys of the values that go in.
            scope: Names of the scopes it is called in.
            frames: The Python frames it is called in.

        Returns:
            A list with the keys of the values that come out, `None` for a
            constant.
        """
        values = dict(zip(jaxpr.invars, inputs, strict=True))
        held = [self.look_up_constant(constant) for constant in constants]
        values.update(zip(jaxpr.constvars, held, strict=True))

        def look_up(atoms):
            return [
                self.look_up_constant(atom.val)
                if jaxprs.is_literal(atom)
                else values.get(atom)
                for atom in atoms
            ]

        for equation in jaxpr.eqns:
            taken = look_up(equation.invars)
            source = equation.source_info
            where = (
                (*scope, *str(source.name_stack).split("/")),
                (*frames, *self._frames_of(source.traceback, bool(frames))),
            )
            inner, inside = jaxprs.called_jaxpr(equation)
            if inner is None or _has_own_gradient(equation):
                given = [self.new_value() for _ in equation.outvars]
                self._add(equation, taken, given, *where)
            else:
                given = self.read(inner, inside, taken, *where)
            values.update(zip(equation.outvars, given, strict=True))
        return look_up(jaxpr.outvars)

    def look_up_constant(self, constant):
        """Returns the key of a constant, `None` where it is not followed."""
        return self.constants.get(id(constant))

    def _add(self, equation, inputs, outputs, scope, frames):
        if equation.primitive is differentiate:
            self.marks.append(inputs)
            return
        self.operations.append(
            Operation(
                kind=equation.primitive.name,
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                scope=scope,
                frames=frames,
                native=equation,
            )
        )


def _has_own_gradient(equation):
    return equation.primitive.name.startswith("custom_")


def _frames(trace, called):
    """Returns the frames of a traceback of JAX that lie within the step.

    Args:
        trace: The traceback, or `None`.
        called: Whether it is that of an operation in a function that JAX has
            traced by itself: who called that first is of no interest.
    """
    if trace is None:
        return ()
    ends = (__file__, "linear_util.py") if called else (__file__,)
    # The innermost comes first.
    inside = itertools.takewhile(
        lambda frame: not frame.file_name.endswith(ends), trace.frames
    )
    return tuple(
        traceback.FrameSummary(
            frame.file_name,
            frame.line_num,
            frame.function_name.rpartition(".")[2],
            lookup_line=False,
        )
        for frame in reversed(list(inside))
    )


class Passes:
    """Tells whether a gradient gets through an operation.

    JAX is asked for the gradient of every kind of operation once.
    """

    def __init__(self):
        self._known = {}

    def __call__(self, operation, place, output):
        """Answers for one input and one output of an operation."""
        equation = operation.native
        key = id(equation)
        if not jaxprs.holds_jaxpr(equation):
            key = (
                equation.primitive,
                *(a.aval.dtype for a in (*equation.invars, *equation.outvars)),
            )
        if (key, output) not in self._known:
            self._known[key, output] = _ask(equation, output)
        return place in self._known[key, output]


def _ask(equation, output):
    """Returns the places of the inputs that a gradient comes back to."""
    places = [
        place
        for place, atom in enumerate(equation.invars)
        if _has_gradient(atom)
    ]
    if not places or not _has_gradient(equation.outvars[output]):
        return ()

    def gradients(inputs, gradient):
        def run(chosen):
            merged = {**dict(enumerate(inputs)), **chosen}
            return function(*(merged[i] for i in range(len(inputs))))

        _, pull = jax.vjp(run, {place: inputs[place] for place in places})
        return pull(gradient)

    try:
        function = jaxprs.as_function(equation, output)
        traced = jax.make_jaxpr(gradients)(
            jaxprs.shapes_of(equation.invars),
            *jaxprs.shapes_of([equation.outvars[output]]),
        ).jaxpr
    except Exception:
        # A step in which JAX needs the gradient fails just like this.
        return places
    given = [False] * len(equation.invars) + [True]
    depends = jaxprs.dependent_outputs(traced, given)
    return tuple(itertools.compress(places, depends))


def _has_gradient(atom):
    """Whether a value is of a kind that gradients exist for."""
    return jax.dtypes.issubdtype(
        getattr(atom.aval, "dtype", np.void), np.inexact
    )


def public_functions():
    """Returns where the names of public functions are looked up."""
    return (
        ("jax.numpy", jax.numpy),
        ("jax.nn", jax.nn),
        ("jax.lax", jax.lax),
        ("jax.image", jax.image),
        ("jax", jax),
    )


def says_it_left(error):
    """Whether a step could not be traced as it leaves JAX.

    That is so where it makes a number of Python or an array of NumPy out of a
    tensor.
    """
    return isinstance(
        error,
        (
            jax.errors.ConcretizationTypeError,
            jax.errors.TracerArrayConversionError,
            jax.errors.TracerIntegerConversionError,
        ),
    )


def says_gradient_failed(error):
    """Whether a step failed in a gradient and does not say in which.

    JAX raises the errors of a gradient where they occur.
    """
    return False
