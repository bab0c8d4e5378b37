"""Taking a step that JAX cannot trace as a whole.

Such a step makes numbers of Python out of tensors, outside of what it
differentiates. What it differentiates is traced all the same.
"""

import sys
import traceback
from typing import Any

import jax

from keras_perceptual.gradients.tracers.jax import derivatives, sources
from keras_perceptual.gradients.tracers.jax.differentiation import (
    differentiation_answered,
)
from keras_perceptual.gradients.tracers.jax.record import Record, Where


def run_step(
    step: Any, arguments: tuple[Any, ...], record: Record, flattening: Any
) -> None:
    """Runs a step, and writes down what it differentiates.

    Args:
        step: The step.
        arguments: What it is called with, as arrays that are known to the
            record.
        record: The `Record`.
        flattening: The `Flattening` into that record.
    """

    def know(keys: Any) -> Any:
        """Returns arrays for values, by which they are known from here on."""
        arrays = [jax.numpy.asarray(record.tape.read(key)) for key in keys]
        for array, key in zip(arrays, keys, strict=True):
            record.know(array, key)
        return arrays

    def answer(asked: Any) -> Any:
        finish: Any = None

        def the_step_itself(*leaves: Any) -> Any:
            nonlocal finish
            targets, finish = asked.run(leaves)
            # What comes with it is not a result before this has run.
            _, _, *rest = finish(targets, None)
            return targets, rest

        def gradients(cotangents: Any) -> Any:
            where = Where(frames=_calling_frames())
            with asked.left_to_jax():
                return know(derivatives.pull(record, region, cotangents, where))

        where = Where(frames=_calling_frames(), called=True)
        closed, (targets, rest) = jax.make_jaxpr(
            the_step_itself, return_shape=True
        )(*asked.leaves)
        region = derivatives.enter(
            record, [record.constant(leaf, where) for leaf in asked.leaves]
        )
        with asked.left_to_jax():
            results = flattening.read(
                closed.jaxpr, closed.consts, region.inputs, where
            )
        arrays = know(results)
        derivatives.leave(record, results[: len(targets)], where)
        value, pull, *_ = finish(arrays[: len(targets)], gradients)
        _, structure = jax.tree.flatten(rest)
        return value, pull, *structure.unflatten(arrays[len(targets) :])

    def the_step_itself() -> None:
        step(*arguments)

    with differentiation_answered(answer):
        the_step_itself()


def _calling_frames() -> tuple[Any, ...]:
    """Returns the frames from the step up to here."""
    found = []
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != sources.OUTERMOST:
        code = frame.f_code
        if not sources.is_own(code.co_filename):
            found.append(
                traceback.FrameSummary(
                    code.co_filename,
                    frame.f_lineno,
                    code.co_name,
                    lookup_line=False,
                )
            )
        frame = frame.f_back
    return tuple(reversed(found))
