"""Marks in a traced step where it asks for gradients.

What is differentiated stands in the traced computation like all the rest,
between two marks, and so gradients by everything in it can be computed.
"""

import functools
import itertools
from typing import Any

import jax

from keras_perceptual.gradients.tracers.jax.differentiation import (
    differentiation_answered,
)

# Names of the marks: around what is differentiated, with the values that it is
# differentiated by and the ones that come out, and where gradients are wanted.
ENTER, LEAVE, PULL = "enter_derivative", "leave_derivative", "pull_gradients"
# JAX keeps what it has traced, and marks with it.
_regions = itertools.count()


def marked_gradients() -> Any:
    """Has what is differentiated leave marks, and no more.

    What is asked for inside of a function that is itself differentiated is a
    part of that function and is computed.
    """
    enter, leave, pull = _primitives()

    def answer(asked: Any) -> Any:
        region = next(_regions)
        try:
            inner = enter.bind(*asked.leaves, region=region)
        except NotImplementedError:
            # Inside of another transformation, such as `jax.jvp`.
            return asked.answer()
        targets, finish = asked.run(inner)
        targets = leave.bind(*targets, region=region)

        def gradients(cotangents: Any) -> Any:
            if any(map(_is_mapped, cotangents)) and not any(
                map(_is_mapped, targets)
            ):
                # Several gradients of one and the same result at once.
                return None
            return pull.bind(
                *cotangents, *inner, region=region, targets=len(cotangents)
            )

        return finish(targets, gradients)

    return differentiation_answered(answer)


def _is_mapped(value: Any) -> bool:
    """Whether a value stands for one of several, as inside `jax.vmap`."""
    return type(value).__name__ == "BatchTracer"


@functools.cache
def _primitives() -> Any:
    """Returns the operations that are the marks."""
    import jax.extend
    from jax.interpreters import batching

    made = [jax.extend.core.Primitive(name) for name in (ENTER, LEAVE, PULL)]
    for primitive in made:
        primitive.multiple_results = True
        batching.primitive_batchers[primitive] = functools.partial(
            _in_all_examples, primitive
        )
    enter, leave, pull = made
    enter.def_abstract_eval(lambda *values, region: list(values))
    leave.def_abstract_eval(lambda *values, region: list(values))
    pull.def_abstract_eval(
        lambda *values, region, targets: list(values[targets:])
    )
    return made


def _in_all_examples(
    primitive: Any, values: Any, axes: Any, **params: Any
) -> Any:
    """Makes a mark in a function that is mapped over examples."""
    (size,) = {
        value.shape[axis]
        for value, axis in zip(values, axes, strict=True)
        if axis is not None
    }
    moved = [
        jax.numpy.broadcast_to(value, (size, *value.shape))
        if axis is None
        else jax.numpy.moveaxis(value, axis, 0)
        for value, axis in zip(values, axes, strict=True)
    ]
    results = primitive.bind(*moved, **params)
    return results, [0] * len(results)
