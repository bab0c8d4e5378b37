"""Parts of a step that are differentiated."""

from typing import Any, cast

import numpy as np

from keras_perceptual.gradients.replay import Derivative
from keras_perceptual.gradients.tracers.jax.record import Record, Region, Where
from keras_perceptual.gradients.tracers.jax.tape import add_to


def enter(record: Record, keys: Any) -> Any:
    """Begins a part that is differentiated by some values.

    Args:
        record: The `Record` to write it in.
        keys: The keys of these values.

    Returns:
        The `Region`, with new keys for these values inside of it.
    """
    region = Region(record.tape.position(), record.new_key())
    inputs = []
    for key, variable in zip(keys, _held_by(record, keys), strict=True):
        inner = record.add_value(record.tape.read(key))
        inputs.append(inner)
        if variable is not None:
            record.hold(inner, variable)
            region.asked |= record.roots(inner)
        elif key in record.data:
            record.data[inner] = record.data[key]
        else:
            record.changeable.add(inner)
    region.inputs = tuple(inputs)
    record.region = region
    return region


def leave(record: Record, keys: Any, where: Where) -> Any:
    """Ends a part that is differentiated.

    Args:
        record: The `Record` that it is written in.
        keys: The keys of what comes out.
        where: Where it ends.

    Returns:
        The keys of what comes out.
    """
    region = cast(Region, record.region)
    region.targets = tuple(record.inside(key, where) for key in keys)
    region.end = record.tape.position()
    record.region = None
    return region.targets


def pull(
    record: Record,
    region: Any,
    cotangents: Any,
    where: Where,
    shapes: Any = None,
) -> Any:
    """Computes the gradients that somebody asks for.

    Args:
        record: The `Record` to write them in.
        region: The part that is differentiated.
        cotangents: The gradients by what comes out of it, to begin with.
        where: Where they are asked for.
        shapes: The shapes that the gradients are expected to have. These are
            those of what goes in, unless the step asks for the gradients of
            many examples at once: then each is given the sum of all.

    Returns:
        The keys of the gradients by what goes in.
    """
    above: dict[Any, Any] = {}
    for key, cotangent in zip(region.targets, cotangents, strict=True):
        shape = np.shape(record.tape.read(key))
        add_to(above, key, np.broadcast_to(cotangent, shape))
    found = record.tape.gradients(region.start, region.end, above)
    record.derivatives.append(
        Derivative(
            targets=region.targets,
            variables=frozenset(record.variables(region.asked)),
            gradients=found.numbers,
            contributions=found.contributions,
            frames=where.frames,
        )
    )
    operation = record.add(
        "gradient",
        [*region.targets, *region.inputs],
        len(region.inputs),
        where,
        differentiable=False,
    )
    gradients = [
        found.arrays[key]
        if key in found.arrays
        else np.zeros_like(record.tape.read(key))
        for key in region.inputs
    ]
    if shapes is not None:
        gradients = map(np.broadcast_to, gradients, shapes)
    record.tape.route(
        operation, lambda arrays: list(gradients), lambda above: [None]
    )
    return operation.outputs


def _held_by(record: Record, keys: Any) -> Any:
    """Returns which variable each of some values stands for, if any."""

    def shapes(keys: Any) -> Any:
        return [np.shape(record.tape.read(key)) for key in keys]

    held = [record.holders.get(key) for key in keys]
    if None in held and shapes(keys) == shapes(record.state):
        # What has become of all of them before.
        return [record.holders[key] for key in record.state]
    for index, key in enumerate(keys):
        among = record.variables(record.roots(key))
        if held[index] is None and len(among) == 1:
            # Such as a variable in another data type.
            holders = [k for k, v in record.holders.items() if v == among[0]]
            if shapes([key]) == shapes(holders[:1]):
                (held[index],) = among
    return held
