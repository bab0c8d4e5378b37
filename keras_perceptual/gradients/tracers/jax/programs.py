"""A training step and the statistics of its gradients, traced once."""

import dataclasses
from typing import Any

import jax
import jax.extend

from keras_perceptual.gradients.signals import Signal, measure
from keras_perceptual.gradients.statistics import (
    scaled_norms,
    statistics_rows,
)
from keras_perceptual.gradients.tracers.jax.compilation import compile_fast


class Call:
    """One call of an optimizer.

    Args:
        variables: The Keras variables.
        values: What they hold in the step.
        gradients: The gradient of each.
        loss_scale: The factor by which the loss was scaled, or `None`.
        is_dynamic: Whether the optimizer lowers it upon an overflow.
        counts_zeros: Whether the share of exact zeros is found, too.
    """

    def __init__(
        self,
        variables: Any,
        values: Any,
        gradients: Any,
        loss_scale: Any,
        is_dynamic: bool,
        counts_zeros: bool = False,
    ) -> None:
        self.variables = variables
        self.keys: tuple[int, ...] = tuple(
            id(variable) for variable in variables
        )
        # A scale may be a number, which cannot come out of a step.
        self._scale = loss_scale if isinstance(loss_scale, float) else None
        self.tensors: tuple[Any, ...] = (
            list(values),
            list(gradients),
            None if self._scale is not None else loss_scale,
        )
        self._is_dynamic = is_dynamic
        self._counts_zeros = counts_zeros

    def rows(self, tensors: Any = None) -> Any:
        """Returns the statistics, for other tensors if any are given."""
        values, gradients, loss_scale = tensors or self.tensors
        penalties = {
            place: jax.grad(variable.regularizer)(values[place])
            for place, variable in enumerate(self.variables)
            if getattr(variable, "regularizer", None) is not None
        }
        return statistics_rows(
            gradients,
            scaled_norms,
            loss_scale if self._scale is None else self._scale,
            self._is_dynamic,
            penalties,
            self._counts_zeros,
        )


class Program:
    """The two programs that are made of one trace of a step.

    Args:
        run: Function of the state and the data that returns what the step
            returns, a list of `Call` and one of `Signal`.
        state: The state of the step.
        data: The batch.
        often: Whether the statistics are computed so often that it pays to
            compile them well.

    Attributes:
        heard: The signals, without their tensors.
    """

    def __init__(
        self, run: Any, state: Any, data: Any, *, often: bool = False
    ) -> None:
        calls: list[Any] = []
        self.heard: list[Signal] = []

        def traced(state: Any, data: Any) -> Any:
            outputs, given, heard = run(state, data)
            calls[:] = given
            self.heard = [dataclasses.replace(s, tensor=None) for s in heard]
            return outputs, (
                [call.tensors for call in given],
                [signal.tensor for signal in heard],
            )

        closed, shapes = jax.make_jaxpr(traced, return_shape=True)(state, data)
        for call in calls:
            call.tensors = None
        # The step has no gradients among its results, so that nothing in it
        # differs from what Keras would have traced.
        self._function = jax.extend.core.jaxpr_as_fun(closed)
        self._structure = jax.tree.structure(shapes)
        tensors = shapes[1]
        self._tensors = jax.tree.structure(tensors)
        self._leading_to_tensors = jax.extend.core.jaxpr_as_fun(
            _leading_to(closed, self._tensors.num_leaves)
        )
        self._calls = calls
        compiled = jax.jit if often else compile_fast
        self._statistics = compiled(self._rows)

    def step(self, state: Any, data: Any) -> Any:
        """Takes the step."""
        return self._run(state, data)[0]

    def statistics(self, state: Any, data: Any) -> Any:
        """Returns what is made of gradients, and of signals.

        Returns:
            Pairs of the keys of variables and their statistics, and a number
            for each signal.
        """
        rows, numbers = self._statistics(state, data)
        pairs = zip(self._calls, rows, strict=True)
        return [(call.keys, row) for call, row in pairs], numbers

    def _run(self, state: Any, data: Any) -> Any:
        flat = self._function(*jax.tree.leaves((state, data)))
        return jax.tree.unflatten(self._structure, flat)

    def _rows(self, state: Any, data: Any) -> Any:
        flat = self._leading_to_tensors(*jax.tree.leaves((state, data)))
        tensors, passed = jax.tree.unflatten(self._tensors, flat)
        rows = [
            call.rows(taken)
            for call, taken in zip(self._calls, tensors, strict=True)
        ]
        signals = [
            dataclasses.replace(signal, tensor=tensor)
            for signal, tensor in zip(self.heard, passed, strict=True)
        ]
        return rows, measure(signals) if signals else ()


def _leading_to(closed: Any, count: int) -> Any:
    """Returns a jaxpr of the last outputs of another one, and no more.

    What the optimizer does takes as long to compile as the gradients, and what
    the step prints is printed once.
    """
    outputs = closed.jaxpr.outvars[-count:] if count else []
    needed = {id(variable) for variable in outputs}
    kept = []
    for equation in reversed(closed.jaxpr.eqns):
        if needed.intersection(map(id, equation.outvars)):
            kept.append(equation)
            needed.update(map(id, equation.invars))
    return closed.replace(
        jaxpr=closed.jaxpr.replace(eqns=kept[::-1], outvars=outputs)
    )
