"""How gradients get through single equations."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.extend
import numpy as np

from keras_perceptual.gradients.tracers.jax import jaxprs

# They draw random numbers, or ask for what JAX does not know.
_VARYING = {
    "io_callback",
    "pure_callback",
    "random_bits",
    "random_gamma",
    "rng_bit_generator",
    "rng_uniform",
    "threefry2x32",
}
# What they make of zeros are zeros.
_REPEATING = {"broadcast_in_dim", "convert_element_type", "reshape"}


@dataclasses.dataclass(frozen=True)
class Pull:
    """The gradients that an equation hands to its inputs.

    Attributes:
        places: The places of the inputs that a gradient comes back to.
        function: Function of a list of all inputs and of a list of the
            gradients from above, that returns a list of gradients.
    """

    places: tuple[int, ...]
    function: Callable[..., Any]


_NONE = Pull((), lambda inputs, cotangents: [])


class Rules:
    """Remembers what JAX has answered for equations that are alike."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}
        # What has been told apart by its address stays where it is.
        self._kept: list[Any] = []

    def signature(self, equation: Any) -> Any:
        """Returns what is the same for equations that do the same."""
        if not jaxprs.holds_jaxpr(equation):
            key = (
                equation.primitive,
                tuple(sorted(equation.params.items())),
                tuple(
                    (atom.aval.shape, atom.aval.dtype)
                    for atom in (*equation.invars, *equation.outvars)
                    if hasattr(atom.aval, "dtype")
                ),
            )
            try:
                hash(key)
            except TypeError:
                pass
            else:
                return key
        self._kept.append(equation)
        return id(equation)

    def run(self, equation: Any, signature: Any) -> Any:
        """Returns the function that computes all outputs of an equation."""
        return self._look_up(
            ("run", signature),
            lambda: jaxprs.function_of(equation, range(len(equation.outvars))),
        )

    def pull(self, equation: Any, signature: Any, present: Any) -> Any:
        """Returns the `Pull` of an equation.

        Args:
            equation: The equation.
            signature: Its signature.
            present: Places of the outputs that a gradient comes from.
        """
        return self._look_up(
            ("pull", signature, present),
            lambda: _find_pull(equation, present, inexact(equation.invars)),
        )

    def is_differentiable(self, equation: Any) -> bool:
        """Whether JAX has a gradient for equations of this kind."""
        inputs, outputs = map(inexact, (equation.invars, equation.outvars))
        if not inputs or not outputs:
            return not inputs
        if jaxprs.holds_jaxpr(equation):
            signature = self.signature(equation)
        else:
            # The shapes are of no importance.
            signature = (
                equation.primitive,
                *(a.aval.dtype for a in (*equation.invars, *equation.outvars)),
            )
        return self._look_up(
            ("differentiable", signature),
            lambda: bool(_find_pull(equation, outputs, inputs).places),
        )

    def _look_up(self, key: Any, find: Any) -> Any:
        if key not in self._known:
            self._known[key] = find()
        return self._known[key]


def varies(equation: Any) -> bool:
    """Whether other numbers may come out of the same ones."""
    return equation.primitive.name in _VARYING


def inexact(atoms: Any) -> Any:
    """Returns the places of the values that gradients exist for."""
    return tuple(
        place
        for place, atom in enumerate(atoms)
        if jax.dtypes.issubdtype(
            getattr(atom.aval, "dtype", np.void), np.inexact
        )
    )


def _find_pull(equation: Any, present: Any, wanted: Any) -> Any:
    if not present or not wanted:
        return _NONE

    def gradients(inputs: Any, cotangents: Any) -> Any:
        def run(chosen: Any) -> Any:
            merged = {**dict(enumerate(inputs)), **chosen}
            return function(*(merged[i] for i in range(len(inputs))))

        _, pull = jax.vjp(run, {place: inputs[place] for place in wanted})
        return pull(cotangents)[0]

    try:
        function = jaxprs.function_of(equation, present)
        closed = jax.make_jaxpr(gradients)(
            jaxprs.shapes_of(equation.invars),
            jaxprs.shapes_of([equation.outvars[place] for place in present]),
        )
    except Exception:
        # There is none by one of the inputs, as it seems.
        return _merge(
            [_find_pull(equation, present, (place,)) for place in wanted]
            if len(wanted) > 1
            else []
        )
    passing = [
        index
        for index, depends in enumerate(_comes_back(closed, len(present)))
        if depends
    ]
    run = jax.extend.core.jaxpr_as_fun(closed)

    def pull(inputs: Any, cotangents: Any) -> Any:
        found = run(*inputs, *cotangents)
        return [found[index] for index in passing]

    return Pull(tuple(wanted[index] for index in passing), pull)


def _merge(pulls: Any) -> Any:
    """Returns the `Pull` that does what all of `pulls` do."""
    return Pull(
        tuple(place for pull in pulls for place in pull.places),
        lambda inputs, cotangents: [
            gradient
            for pull in pulls
            for gradient in pull.function(inputs, cotangents)
        ],
    )


def _comes_back(closed: Any, count: int) -> Any:
    """Tells for each gradient of a traced rule whether it is one.

    What does not depend on the gradients from above is none if it is zero: so
    JAX writes that there is none.

    Args:
        closed: The rule.
        count: How many of its inputs, the last ones, are gradients.
    """
    jaxpr = closed.jaxpr
    others = len(jaxpr.invars) - count
    by_gradient = jaxprs.dependent_outputs(
        jaxpr, [False] * others + [True] * count
    )
    by_input = jaxprs.dependent_outputs(jaxpr, [True] * len(jaxpr.invars))
    makers = {
        variable: equation
        for equation in jaxpr.eqns
        for variable in equation.outvars
    }
    constants = dict(zip(jaxpr.constvars, closed.consts, strict=True))

    def is_zero(atom: Any) -> Any:
        if jaxprs.is_literal(atom):
            return not np.any(atom.val)
        if atom in constants:
            return not np.any(constants[atom])
        maker = makers[atom]
        return maker.primitive.name in _REPEATING and is_zero(maker.invars[0])

    return [
        gradient or given or not is_zero(atom)
        for gradient, given, atom in zip(
            by_gradient, by_input, jaxpr.outvars, strict=True
        )
    ]
