"""Marks in a traced step where it asks for gradients.

What is differentiated stands in the traced computation like all the rest,
between two marks, and so gradients by everything in it can be computed.
"""

import contextlib
import functools
import inspect
import itertools
import sys

import jax
import numpy as np

from keras_perceptual.gradients.patches import intercepted

# Names of the marks: around what is differentiated, with the values that it is
# differentiated by and the ones that come out, and where gradients are wanted.
ENTER, LEAVE, PULL = "enter_derivative", "leave_derivative", "pull_gradients"
# JAX keeps what it has traced, and marks with it.
_regions = itertools.count()


@contextlib.contextmanager
def marked_gradients():
    """Has what is differentiated leave marks, and no more.

    What is asked for inside of a function that is itself differentiated is a
    part of that function and is computed.
    """
    enter, leave, pull = _primitives()
    busy = False

    def vjp(original, function, *inputs, has_aux=False, **options):
        nonlocal busy
        leaves, structure = jax.tree.flatten(inputs)
        if busy or not leaves:
            return original(function, *inputs, has_aux=has_aux, **options)
        region = next(_regions)
        try:
            inner = enter.bind(*_arrays(leaves), region=region)
        except NotImplementedError:
            # Inside of another transformation, such as `jax.jvp`.
            return original(function, *inputs, has_aux=has_aux, **options)
        busy = True
        try:
            result = function(*structure.unflatten(inner))
        finally:
            busy = False
        result, *rest = result if has_aux else (result,)
        targets, form = jax.tree.flatten(result)
        targets = leave.bind(*_arrays(targets), region=region)

        def gradients(cotangents):
            nonlocal busy
            given = _arrays(jax.tree.leaves(cotangents))
            if any(map(_is_mapped, given)) and not any(map(_is_mapped, inner)):
                # Several gradients of one and the same result at once.
                busy = True
                try:
                    own = original(
                        function, *inputs, has_aux=has_aux, **options
                    )
                finally:
                    busy = False
                return own[1](cotangents)
            found = pull.bind(
                *given, *inner, region=region, targets=len(given)
            )
            return structure.unflatten(
                g if _is_inexact(g) else np.zeros(g.shape, jax.dtypes.float0)
                for g in found
            )

        return form.unflatten(targets), gradients, *rest

    def differentiated(
        original, function, argnums=0, has_aux=False, **options
    ):
        """Stands for `jax.value_and_grad`."""
        own = original(function, argnums, has_aux, **options)
        single = isinstance(argnums, int)
        places = (argnums,) if single else tuple(argnums)

        @functools.wraps(function)
        def run(*args, **kwargs):
            if busy:
                return own(*args, **kwargs)

            def part(*chosen):
                given = list(args)
                for place, value in zip(places, chosen, strict=True):
                    given[place] = value
                return function(*given, **kwargs)

            value, gradients, *rest = vjp(
                lambda function, *inputs, has_aux: jax.vjp(
                    function, *inputs, has_aux=has_aux
                ),
                part,
                *(args[place] for place in places),
                has_aux=has_aux,
            )
            found = gradients(jax.tree.map(jax.numpy.ones_like, value))
            return (value, *rest) if rest else value, (
                found[0] if single else found
            )

        return run

    def gradient(original, function, argnums=0, has_aux=False, **options):
        """Stands for `jax.grad`."""
        both = jax.value_and_grad(function, argnums, has_aux, **options)

        @functools.wraps(function)
        def run(*args, **kwargs):
            value, found = both(*args, **kwargs)
            return (found, value[1]) if has_aux else found

        return run

    with contextlib.ExitStack() as stack:
        for owner, name, answer in (
            (jax, "grad", gradient),
            (jax, "value_and_grad", differentiated),
            *((owner, "vjp", vjp) for owner in {jax, _home_of(jax.vjp)}),
        ):
            if hasattr(owner, name):
                stack.enter_context(intercepted(owner, name, answer))
        yield


def _home_of(function):
    """Returns the module that a function of JAX is defined in.

    Who has imported `jax.grad` by its name calls what is looked up there.
    """
    return sys.modules[inspect.unwrap(function).__globals__["__name__"]]


def _arrays(leaves):
    return [jax.numpy.asarray(leaf) for leaf in leaves]


def _is_mapped(value):
    """Whether a value stands for one of several, as inside `jax.vmap`."""
    return type(value).__name__ == "BatchTracer"


def _is_inexact(leaf):
    return jax.dtypes.issubdtype(leaf.dtype, np.inexact)


@functools.cache
def _primitives():
    """Returns the operations that are the marks."""
    import jax.extend
    from jax.interpreters import batching

    made = [jax.extend.core.Primitive(name) for name in (ENTER, LEAVE, PULL)]
    for primitive in made:
        primitive.multiple_results = True
    enter, leave, pull = made
    enter.def_abstract_eval(lambda *values, region: list(values))
    leave.def_abstract_eval(lambda *values, region: list(values))
    pull.def_abstract_eval(
        lambda *values, region, targets: list(values[targets:])
    )
    for primitive in made:
        batching.primitive_batchers[primitive] = functools.partial(
            _in_all_examples, primitive
        )
    return made


def _in_all_examples(primitive, values, axes, **params):
    """Makes a mark in a function that is mapped over examples.

    Each example gets the values to differentiate by for itself, so that its
    gradient is its own.
    """
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
