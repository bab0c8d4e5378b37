"""Reading numbers inside a training step, for JAX."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from keras_perceptual.gradients import dataflow, zeros
from keras_perceptual.gradients.tracers.jax import jaxprs
from keras_perceptual.gradients.tracers.jax.dataflow import Passes, Reader


def read_gradients(function, leaves, variables, suspects):
    """Returns numbers of the operations on the way to what is differentiated.

    The function is traced and taken apart. Its operations are then computed
    once more, with a zero added to each value that is looked at, for the
    gradient by that zero is the gradient by the value.

    Args:
        function: Function of the leaves that returns a scalar.
        leaves: The values of the variables, in their order.
        variables: The keys of the variables.
        suspects: The keys of those with a gradient of zeros.

    Returns:
        The `Dataflow`, the operations that were looked at, and an array
        shaped `(numbers,)` for `zeros.unpack_readings`, or `None`.
    """
    closed = jax.make_jaxpr(function)(*leaves)
    reader = _Reader()
    inputs = [reader.new_value() for _ in closed.jaxpr.invars]
    (target,) = reader.read(closed.jaxpr, closed.consts, inputs)
    flow = dataflow.Dataflow(
        operations=tuple(map(_with_own_name, reader.operations)),
        holders=dict(zip(inputs, variables, strict=True)),
        derivatives=(dataflow.Derivative((target,), frozenset(variables)),),
        passes=Passes(),
    )
    chosen = zeros.choose_operations(flow, suspects)
    if not chosen:
        return flow, chosen, None
    needed = dataflow.needed_for(flow, {target})
    known = {**reader.numbers, **dict(zip(inputs, leaves, strict=True))}
    shapes = {
        key: atom.aval
        for operation in chosen
        for keys, atoms in (
            (operation.inputs, operation.native.invars),
            (operation.outputs, operation.native.outvars),
        )
        for key, atom in zip(keys, atoms, strict=True)
        if jnp.issubdtype(atom.aval.dtype, jnp.floating)
    }

    def compute(added):
        values = {
            key: value + added[key] if key in added else value
            for key, value in known.items()
        }
        for operation in needed:
            results = _compute(operation, values)
            for key, value in zip(operation.outputs, results, strict=True):
                values[key] = value + added[key] if key in added else value
        return values[target], values

    gradients, values = jax.grad(compute, has_aux=True)(
        {key: jnp.zeros(aval.shape, aval.dtype) for key, aval in shapes.items()}
    )
    numbers = [
        number
        for operation in chosen
        for number in _read(operation, values, gradients)
    ]
    return flow, chosen, jnp.stack(numbers)


class _Reader(Reader):
    """Keeps the numbers of all constants.

    Attributes:
        numbers: The constants by their keys.
    """

    def __init__(self):
        super().__init__()
        self.numbers = {}

    def look_up_constant(self, constant):
        key = self.new_value()
        self.numbers[key] = constant
        return key


def _with_own_name(operation):
    """Returns an operation by the name of its function, if it has its own."""
    if not operation.kind.startswith("custom_"):
        return operation
    called = operation.native.params.get("call_jaxpr")
    equations = getattr(called, "jaxpr", called).eqns
    name = equations[0].params.get("name") if len(equations) == 1 else None
    return dataclasses.replace(operation, kind=name or operation.kind)


def _compute(operation, values):
    """Returns a list of what comes out of an operation."""
    arguments = [values[key] for key in operation.inputs]
    return [
        jaxprs.as_function(operation.native, output)(*arguments)
        for output in range(len(operation.outputs))
    ]


def _read(operation, values, gradients):
    """Returns the numbers of an operation for `zeros.unpack_readings`."""
    arguments = [values[key] for key in operation.inputs]
    above = [gradients.get(key) for key in operation.outputs]
    return [
        jnp.max(jnp.stack([_size(x) for x in above])),
        *(_size(gradients.get(key)) for key in operation.inputs),
        *map(_size, arguments),
        *(
            _size(_contribution(operation, above[0], arguments, place))
            for place in range(len(arguments))
        ),
    ]


def _contribution(operation, gradient, arguments, place):
    """Returns what an operation adds to the gradient of an input, if known."""
    if gradient is None or np.shape(arguments[place]) != gradient.shape:
        return None
    return zeros.contribution(operation, gradient, arguments, place)


def _size(x):
    """Returns the largest size in an array, 0 for none and for integers."""
    if x is None or not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        return jnp.zeros(())
    return jnp.max(jnp.abs(x), initial=0.0).astype("float32")
