"""Listening to the functions of JAX that differentiate."""

import contextlib
import functools

import jax
import jax.extend

# Stands in a traced computation where gradients were asked for. It takes what
# is differentiated and the variables, and returns the gradients.
differentiate = jax.extend.core.Primitive("differentiate")
differentiate.multiple_results = True
differentiate.def_abstract_eval(lambda target, *variables: list(variables))


@contextlib.contextmanager
def mark_gradients():
    """Has `jax.grad` and `jax.value_and_grad` leave a mark, no more.

    What is asked for inside of a function that is itself differentiated is a
    part of that function and is computed.
    """
    originals = jax.grad, jax.value_and_grad
    busy = False

    def marking(original, fun, argnums=0, has_aux=False, **options):
        differentiated = original(fun, argnums, has_aux, **options)

        @functools.wraps(fun)
        def run(*args, **kwargs):
            nonlocal busy
            if busy:
                return differentiated(*args, **kwargs)
            busy = True
            try:
                value = fun(*args, **kwargs)
            finally:
                busy = False
            target, rest = value if has_aux else (value, None)
            if isinstance(argnums, int):
                variables = args[argnums]
            else:
                variables = tuple(args[index] for index in argnums)
            leaves, structure = jax.tree.flatten(variables)
            gradients = structure.unflatten(
                differentiate.bind(*map(jax.numpy.asarray, [target, *leaves]))
            )
            if original is originals[1]:
                return value, gradients
            return (gradients, rest) if has_aux else gradients

        return run

    jax.grad, jax.value_and_grad = (
        functools.partial(marking, original) for original in originals
    )
    try:
        yield
    finally:
        jax.grad, jax.value_and_grad = originals


@contextlib.contextmanager
def heed_gradients(heed):
    """Has `heed` called wherever gradients are asked for.

    What is asked for inside of a function that is itself differentiated is a
    part of that function.

    Args:
        heed: Function of a function of leaves that returns a scalar, and of
            the leaves that it is differentiated by.
    """
    originals = jax.grad, jax.value_and_grad
    busy = False

    def heeding(original, fun, argnums=0, has_aux=False, **options):
        differentiated = original(fun, argnums, has_aux, **options)

        @functools.wraps(fun)
        def run(*args, **kwargs):
            nonlocal busy
            if busy:
                return differentiated(*args, **kwargs)
            busy = True
            try:
                result = differentiated(*args, **kwargs)
                chosen = [argnums] if isinstance(argnums, int) else argnums
                leaves, structure = jax.tree.flatten([args[i] for i in chosen])

                def target(*leaves):
                    replaced = structure.unflatten(leaves)
                    given = {
                        **dict(enumerate(args)),
                        **dict(zip(chosen, replaced, strict=True)),
                    }
                    value = fun(*(given[i] for i in range(len(args))), **kwargs)
                    return value[0] if has_aux else value

                heed(target, leaves)
            finally:
                busy = False
            return result

        return run

    jax.grad, jax.value_and_grad = (
        functools.partial(heeding, original) for original in originals
    )
    try:
        yield
    finally:
        jax.grad, jax.value_and_grad = originals
