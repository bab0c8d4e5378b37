"""What a step begins with, so that it can be taken once more.

Taking a step again runs the user's code again. What that leaves behind, as far
as it can be seen, is put back: values of variables, and plain attributes of
the model and its layers, such as counters and `trainable`, and generators of
random numbers.
"""

import contextlib
import functools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.model_parts import (
    find_loss_variables,
    find_optimizers,
    variables_of,
)
from keras_perceptual.model_walk import walk_parts

# More is not copied: a training that just fits into the memory has to go on.
MOST_BYTES = 2**30
# The widest numbers that variables are made of.
_BYTES = 8
_PLAIN = (bool, int, float, str, type(None))
_GENERATORS = (random.Random, np.random.RandomState, np.random.Generator)


def variables_of_step(model: keras.Model) -> list[Any]:
    """Returns the variables that a step may read or write, but for slots.

    What an optimizer keeps for each weight is left out: it is idle when a step
    is taken again.
    """
    small = [
        variable
        for optimizer in find_optimizers(model)
        for variable in optimizer.variables
        if not tuple(variable.shape)
    ]
    found = [
        *model.variables,
        *model.metrics_variables,
        *find_loss_variables(model),
        *small,
    ]
    return list({id(variable): variable for variable in found}.values())


def variables_of_training(model: keras.Model) -> list[Any]:
    """Returns the variables that a step may read or write, with all slots."""
    found = [
        *variables_of_step(model),
        *(v for part in find_optimizers(model) for v in part.variables),
    ]
    return list({id(variable): variable for variable in found}.values())


def put_slots_back(model: keras.Model, known: Iterable[Any]) -> None:
    """Has optimizers that were built since begin anew.

    Args:
        model: The model.
        known: The variables that there were before.
    """
    keys = {id(variable) for variable in known}
    for optimizer in find_optimizers(model):
        variables = optimizer.variables
        if all(id(variable) in keys for variable in variables):
            continue
        # A second one shows what each variable begins with.
        other = type(optimizer).from_config(optimizer.get_config())
        other.build(variables_of(optimizer))
        for variable, first in zip(variables, other.variables, strict=True):
            if id(variable) not in keys:
                variable.assign(first.value)


def copy_values(variables: Sequence[Any]) -> dict[int, np.ndarray] | None:
    """Returns the values of variables as NumPy arrays, by the `id` of each.

    Returns `None` where together they may be larger than `MOST_BYTES`.
    """
    if sum(math.prod(v.shape) for v in variables) * _BYTES > MOST_BYTES:
        return None
    return {id(v): value for v, value in _read(variables)}


def _read(variables: Sequence[Any]) -> list[tuple[Any, np.ndarray]]:
    """Returns pairs of a variable and of what it holds.

    What an aborted trace made holds nothing yet, and is left out.
    """
    read = tracers.load("variable_values").read_value
    pairs = [(variable, read(variable)) for variable in variables]
    return [(v, value) for v, value in pairs if value.shape == tuple(v.shape)]


@contextlib.contextmanager
def values_put_back(
    variables: Sequence[Any], values: Mapping[int, np.ndarray] | None = None
) -> Iterator[None]:
    """Has variables hold other values inside, and their own afterwards.

    Args:
        variables: Keras variables.
        values: What `copy_values` returned of some of them, or `None`.
    """
    own = _read(variables)
    try:
        for variable, value in own:
            if values is None:
                break
            if id(variable) in values:
                variable.assign(values[id(variable)])
            # It was made in the step, and what it began with is not known.
            elif np.issubdtype(value.dtype, np.floating) and (
                not np.all(np.isfinite(value))
            ):
                variable.assign(_stand_in(value))
        yield
    finally:
        for variable, value in own:
            variable.assign(value)


def _stand_in(value: Any) -> np.ndarray:
    """Returns small random numbers for others that broke."""
    numbers = np.random.default_rng(0).normal(scale=0.1, size=value.shape)
    return numbers.astype(value.dtype)


def copy_attributes(model: keras.Model) -> list[Any]:
    """Returns the plain attributes of a model, its layers and its variables.

    Plain are numbers, texts and truth values, and lists, tuples, sets and
    dictionaries of nothing else; so are generators of random numbers. What
    Keras itself notes down in a layer is left out: that it is built, for
    example, has to stay.

    Each comes with whether its owner was built.
    """
    names = _names_of_keras()
    return [
        (
            vars(part),
            vars(part).get("built", True),
            {
                name: (value, _copy(value))
                for name, value in vars(part).items()
                if name not in names and _is_plain(value)
            },
        )
        for part in (*walk_parts(model), *model.variables)
    ]


def put_attributes(attributes: list[Any]) -> None:
    """Puts attributes back to what `copy_attributes` returned.

    What `build` noted down stays, such as a size: it does not run again.
    """
    names = _names_of_keras()
    for held, was_built, former in attributes:
        plain = [n for n, v in held.items() if _is_plain(v) and n not in names]
        newly_built = held.get("built", True) and not was_built
        for name in plain:
            if name not in former and not newly_built:
                del held[name]
        for name, (value, content) in former.items():
            if newly_built and value is None:
                continue
            if name in plain or name not in held:
                held[name] = value
                _fill(value, content)


@contextlib.contextmanager
def attributes_put_back(
    model: keras.Model, attributes: list[Any] | None = None
) -> Iterator[None]:
    """Has a model hold other attributes inside, its own afterwards.

    Args:
        model: The model.
        attributes: What `copy_attributes` returned, or `None`.
    """
    own = copy_attributes(model)
    try:
        if attributes is not None:
            put_attributes(attributes)
        yield
    finally:
        put_attributes(own)


@functools.cache
def _names_of_keras() -> set[str]:
    # Without names of their own, they use up those that Keras counts.
    inner = keras.optimizers.Adam(name="inner")
    parts = (
        keras.Layer(name="layer"),
        keras.Model(name="model"),
        keras.Variable(0.0, name="variable"),
        keras.optimizers.LossScaleOptimizer(inner, name="outer"),
        inner,
    )
    return {name for part in parts for name in vars(part)} - {"_trainable"}


def _is_plain(value: Any) -> bool:
    # Not `isinstance`: what stands for a dictionary need not be one.
    if issubclass(type(value), dict):
        return all(_is_plain(part) for part in value.items())
    if issubclass(type(value), (list, set, tuple)):
        return all(isinstance(part, _PLAIN) for part in value)
    return isinstance(value, _PLAIN + _GENERATORS)


def _copy(value: Any) -> Any:
    """Returns what a list, set, dictionary or generator holds now."""
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.RandomState):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, dict):
        return dict(value)
    return list(value) if isinstance(value, (list, set)) else value


def _fill(value: Any, content: Any) -> None:
    """Has a list, set, dictionary or generator hold something again.

    Those of a layer note down in it what is put into them. What comes back is
    known there already.
    """
    if isinstance(value, random.Random):
        value.setstate(content)
    elif isinstance(value, np.random.RandomState):
        value.set_state(content)
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = content
    elif isinstance(value, dict):
        dict.clear(value)
        dict.update(value, content)
    elif isinstance(value, list):
        list.__setitem__(value, slice(None), content)
    elif isinstance(value, set):
        set.clear(value)
        set.update(value, content)
