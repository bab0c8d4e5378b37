"""Taking a training step once more, operation by operation, for JAX."""

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import keras
import numpy as np

from keras_perceptual.gradients.patches import intercepted
from keras_perceptual.gradients.replay import Replay
from keras_perceptual.gradients.tracers.jax import eager
from keras_perceptual.gradients.tracers.jax.flattening import Flattening
from keras_perceptual.gradients.tracers.jax.marks import marked_gradients
from keras_perceptual.gradients.tracers.jax.reads import reads_noted
from keras_perceptual.gradients.tracers.jax.record import Record, Where

_PARTS_OF_DATA = ("x", "y", "sample_weight")
_count = itertools.count()
# A number of Python or an array of NumPy has been made out of a tensor.
_NOT_TRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def replay_step(
    step: Callable[..., Any],
    arguments: tuple[Any, ...],
    variables: Sequence[Any],
    others: Sequence[Any] = (),
) -> Replay:
    """Takes a training step once more, operation by operation.

    Args:
        step: The step.
        arguments: The state, in which the trainable variables come first, and
            the data that the step takes.
        variables: The Keras variables to follow: the trainable ones of the
            state, in this order, and others that the state does not contain.
        others: All other Keras variables that are known.

    Returns:
        The `Replay`. The key of a variable in it is its `id`.
    """
    arguments = jax.tree.map(jax.numpy.asarray, arguments)
    record = Record()
    flattening = Flattening(record)
    keys = _describe(record, arguments, variables)
    known = {*map(id, variables)}

    def note(variable: Any) -> None:
        if id(variable) in known:
            return
        known.add(id(variable))
        value = variable.value
        if isinstance(value, jax.core.Tracer):
            # It is a part of the state here, and may be read elsewhere.
            known.remove(id(variable))
        else:
            record.know_changing(value)

    for variable in others:
        note(variable)
    with (
        _named_operations(),
        _named_models(),
        _traced_anew(),
        # Numbers that are not finite are looked for here, and no error.
        jax.debug_nans(False),
        jax.debug_infs(False),
        reads_noted(note),
    ):
        try:
            with marked_gradients():
                closed = _trace(step, arguments)
        except _NOT_TRACEABLE:
            for key, array in zip(
                keys, jax.tree.leaves(arguments), strict=True
            ):
                record.know(array, key)
            eager.run_step(step, arguments, record, flattening)
        else:
            flattening.read(closed.jaxpr, closed.consts, keys, Where())
        replay = record.finish()
    if not replay.derivatives:
        raise ValueError(
            "The step computes gradients by none of `jax.grad`, "
            f"`jax.value_and_grad` and `jax.vjp`. Received: step={step!r}"
        )
    return replay


def replay_function(
    function: Callable[[], Any], variables: Sequence[Any]
) -> Replay:
    """Computes the gradients of a function, operation by operation.

    Args:
        function: Function without arguments that returns a loss.
        variables: The Keras variables to differentiate it by.

    Returns:
        The `Replay`, with one `Derivative`.
    """

    def loss(values: Any) -> Any:
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function()

    def step(state: Any, data: Any) -> Any:
        return jax.grad(loss)(state[0])

    state = ([variable.value for variable in variables],)
    return replay_step(step, (state, ()), variables)


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Puts the random numbers to come back as they were.

    JAX has none: they come from keys.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def _trace(step: Any, arguments: tuple[Any, ...]) -> Any:
    def the_step_itself(*arguments: Any) -> Any:
        # What it returns need not be anything that JAX knows.
        step(*arguments)
        return ()

    return jax.make_jaxpr(the_step_itself)(*arguments)


def _describe(
    record: Record, arguments: tuple[Any, ...], variables: Any
) -> list[Any]:
    """Has the values that a step is given known, and returns their keys."""
    (trained, *rest), data = arguments
    trained = jax.tree.leaves(trained)
    keys = []

    def add(array: Any) -> Any:
        keys.append(record.add_value(array))
        return keys[-1]

    for variable, array in zip(variables, trained, strict=False):
        key = add(array)
        record.hold(key, id(variable))
        record.state.append(key)
        record.know_stored(variable.value, key)
    for array in (*trained[len(keys) :], *jax.tree.leaves(rest)):
        record.changeable.add(add(array))
    for path, array in jax.tree_util.tree_leaves_with_path(data):
        record.data[add(array)] = _name(data, path)
    for variable in variables[len(trained) :]:
        # What is not part of the state goes in as a constant.
        key = record.add_value(variable.value)
        record.hold(key, id(variable))
        record.know(variable.value, key)
    return keys


def _name(data: Any, path: Any) -> str:
    """Returns the name of a part of the data, such as `"x['mask']"`."""
    name = "x"
    if isinstance(data, (tuple, list)) and len(data) <= len(_PARTS_OF_DATA):
        name = _PARTS_OF_DATA[path[0].idx]
        path = path[1:]
    return name + jax.tree_util.keystr(path)


def _named_operations() -> Any:
    """Has operations of Keras that are no layers stand in scopes as well."""

    def call(original: Any, operation: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.Layer):
            return original(operation, *args, **kwargs)
        with jax.named_scope(operation.name):
            return original(operation, *args, **kwargs)

    return intercepted(keras.Operation, "__call__", call)


def _named_models() -> Any:
    """Has what a model computes itself stand in a scope with its name.

    A step calls it in a way that opens none.
    """

    def call(original: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
        with jax.named_scope(layer.name):
            return original(layer, *args, **kwargs)

    return intercepted(keras.Layer, "stateless_call", call)


def _traced_anew() -> Any:
    """Has functions traced again that JAX has traced before.

    What it keeps is kept for one set of options, of which this is one.
    """
    try:
        from jax.experimental.xla_metadata import set_xla_metadata
    except ImportError:
        return contextlib.nullcontext()
    return set_xla_metadata(replay=next(_count))
