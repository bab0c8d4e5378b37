"""Listening to the functions of JAX that differentiate."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.extend

# Stands in a traced computation where gradients were asked for. It takes what
# is differentiated and the variables, and returns the gradients.
differentiate = jax.extend.core.Primitive("differentiate")
differentiate.multiple_results = True
differentiate.def_abstract_eval(lambda target, *variables: list(variables))


@dataclasses.dataclass(frozen=True)
class _Differentiation:
    """What `jax.grad` or `jax.value_and_grad` was asked for.

    Attributes:
        function: The function to differentiate.
        argnums: As for `jax.grad`, always a tuple.
        is_single: Whether `argnums` was a number.
        has_aux: As for `jax.grad`.
        with_value: Whether the value is asked for as well.
        answer: What JAX returns for that.
    """

    function: Callable
    argnums: tuple
    is_single: bool
    has_aux: bool
    with_value: bool
    answer: Callable


@contextlib.contextmanager
def mark_gradients():
    """Has `jax.grad` and `jax.value_and_grad` leave a mark, no more.

    What is asked for inside of a function that is itself differentiated is a
    part of that function and is computed.
    """

    def mark(asked, args, kwargs):
        value = asked.function(*args, **kwargs)
        target, rest = value if asked.has_aux else (value, None)
        variables = tuple(args[index] for index in asked.argnums)
        leaves, structure = jax.tree.flatten(
            variables[0] if asked.is_single else variables
        )
        gradients = structure.unflatten(
            differentiate.bind(*map(jax.numpy.asarray, [target, *leaves]))
        )
        if asked.with_value:
            return value, gradients
        return (gradients, rest) if asked.has_aux else gradients

    with _intercept(mark):
        yield


@contextlib.contextmanager
def heed_gradients(heed):
    """Has `heed` called wherever gradients are asked for.

    What is asked for inside of a function that is itself differentiated is a
    part of that function.

    Args:
        heed: Function of a function of leaves that returns a scalar, and of
            the leaves that it is differentiated by.
    """

    def answer(asked, args, kwargs):
        leaves, structure = jax.tree.flatten([args[i] for i in asked.argnums])

        def target(*leaves):
            given = list(args)
            for place, part in zip(
                asked.argnums, structure.unflatten(leaves), strict=True
            ):
                given[place] = part
            value = asked.function(*given, **kwargs)
            return value[0] if asked.has_aux else value

        result = asked.answer(*args, **kwargs)
        heed(target, leaves)
        return result

    with _intercept(answer):
        yield


@contextlib.contextmanager
def _intercept(answer):
    """Has `answer` take the calls of what `jax.grad` and its like return.

    Args:
        answer: Function of the `_Differentiation` and of the arguments, as a
            tuple and as a dictionary. What is differentiated while it runs is
            left to JAX.
    """
    originals = jax.grad, jax.value_and_grad
    busy = False

    def intercepting(original, fun, argnums=0, has_aux=False, **options):
        is_single = isinstance(argnums, int)
        asked = _Differentiation(
            function=fun,
            argnums=(argnums,) if is_single else tuple(argnums),
            is_single=is_single,
            has_aux=has_aux,
            with_value=original is originals[1],
            answer=original(fun, argnums, has_aux, **options),
        )

        @functools.wraps(fun)
        def run(*args, **kwargs):
            nonlocal busy
            if busy:
                return asked.answer(*args, **kwargs)
            busy = True
            try:
                return answer(asked, args, kwargs)
            finally:
                busy = False

        return run

    jax.grad, jax.value_and_grad = (
        functools.partial(intercepting, original) for original in originals
    )
    try:
        yield
    finally:
        jax.grad, jax.value_and_grad = originals
