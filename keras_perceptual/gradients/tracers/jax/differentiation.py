"""Listening to the functions of JAX that differentiate."""

import contextlib
import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from keras_perceptual.gradients.patches import intercepted


@dataclasses.dataclass(frozen=True)
class Asked:
    """What one of the functions of JAX was asked for.

    Attributes:
        function: The function to differentiate.
        leaves: What it is differentiated by, as a list of arrays.
        structure: How it takes them.
        has_aux: As for `jax.grad`.
        answer: Function without arguments that returns what `jax.vjp` does.
        left_to_jax: Context manager in which nobody listens.
    """

    function: Callable[..., Any]
    leaves: list[Any]
    structure: Any
    has_aux: bool
    answer: Callable[..., Any]
    left_to_jax: Callable[..., Any]

    def run(self, leaves: Any) -> Any:
        """Calls the function.

        Args:
            leaves: As in the attributes.

        Returns:
            A list of what is differentiated, and a function of such a list
            and of a function of gradients by it, that returns what `jax.vjp`
            does. That function returns a list of gradients by the leaves, or
            `None` to leave it to JAX.
        """
        with self.left_to_jax():
            value = self.function(*self.structure.unflatten(leaves))
        value, *rest = value if self.has_aux else (value,)
        targets, form = jax.tree.flatten(value)

        def finish(targets: Any, gradients: Any) -> Any:
            def pull(cotangents: Any) -> Any:
                found = gradients(_arrays(jax.tree.leaves(cotangents)))
                if found is None:
                    return self.answer()[1](cotangents)
                return self.structure.unflatten(map(_as_gradient, found))

            return form.unflatten(targets), pull, *rest

        return _arrays(targets), finish


@contextlib.contextmanager
def differentiation_answered(answer: Any) -> Iterator[None]:
    """Has `answer` take the place of `jax.vjp` and what is made with it.

    What is asked for inside of a function that is itself differentiated is a
    part of that function and is left to JAX.

    Args:
        answer: Function of what is `Asked` that returns what `jax.vjp` does.
    """
    busy = False

    @contextlib.contextmanager
    def left_to_jax() -> Iterator[None]:
        nonlocal busy
        former, busy = busy, True
        try:
            yield
        finally:
            busy = former

    def vjp(
        original: Any,
        function: Any,
        *inputs: Any,
        has_aux: bool = False,
        **options: Any,
    ) -> Any:
        def own_answer() -> Any:
            with left_to_jax():
                return original(function, *inputs, has_aux=has_aux, **options)

        leaves, structure = jax.tree.flatten(inputs)
        if busy or not leaves:
            return original(function, *inputs, has_aux=has_aux, **options)
        return answer(
            Asked(
                function=function,
                leaves=_arrays(leaves),
                structure=structure,
                has_aux=has_aux,
                answer=own_answer,
                left_to_jax=left_to_jax,
            )
        )

    def value_and_grad(
        original: Any,
        function: Any,
        argnums: Any = 0,
        has_aux: bool = False,
        **options: Any,
    ) -> Any:
        own = original(function, argnums, has_aux, **options)
        single = isinstance(argnums, int)
        places = (argnums,) if single else tuple(argnums)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            if busy:
                return own(*args, **kwargs)

            def part(*chosen: Any) -> Any:
                given = list(args)
                for place, value in zip(places, chosen, strict=True):
                    given[place] = value
                return function(*given, **kwargs)

            value, pull, *rest = jax.vjp(
                part, *(args[place] for place in places), has_aux=has_aux
            )
            found = pull(jax.tree.map(_one_like, value))
            return (value, *rest) if rest else value, (
                found[0] if single else tuple(found)
            )

        return run

    def grad(
        original: Any,
        function: Any,
        argnums: Any = 0,
        has_aux: bool = False,
        **options: Any,
    ) -> Any:
        both = jax.value_and_grad(function, argnums, has_aux, **options)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            value, found = both(*args, **kwargs)
            return (found, value[1]) if has_aux else found

        return run

    with contextlib.ExitStack() as stack:
        for owner, name, own in (
            (jax, "grad", grad),
            (jax, "value_and_grad", value_and_grad),
            *((owner, "vjp", vjp) for owner in {jax, _home_of(jax.vjp)}),
        ):
            if hasattr(owner, name):
                stack.enter_context(intercepted(owner, name, own))
        yield


def _home_of(function: Any) -> Any:
    """Returns the module that a function of JAX is defined in.

    Who has imported `jax.grad` by its name calls what is looked up there.
    """
    return sys.modules[inspect.unwrap(function).__globals__["__name__"]]


def _arrays(leaves: Any) -> Any:
    return [jax.numpy.asarray(leaf) for leaf in leaves]


def _one_like(value: Any) -> Any:
    # Nothing that would itself stand in the traced computation.
    return np.ones(np.shape(value), jax.dtypes.result_type(value))


def _as_gradient(array: Any) -> Any:
    """Returns the gradient by an array, which is none by integers."""
    if jax.dtypes.issubdtype(array.dtype, np.inexact):
        return array
    return np.zeros(array.shape, jax.dtypes.float0)
