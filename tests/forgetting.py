"""Letting go what backends keep of all that was traced and compiled."""

import contextlib
import ctypes
import functools
import gc

import keras


@contextlib.contextmanager
def forgetting():
    """Lets go what is traced and compiled inside: it cannot be called after."""
    backend = keras.backend.backend()
    gradients = traced_gradients() if backend == "tensorflow" else {}
    before = set(gradients)
    try:
        yield
    finally:
        if backend == "jax":
            import jax
            from jax._src.interpreters import mlir

            jax.clear_caches()
            if hasattr(mlir.make_ir_context, "cache_clear"):
                mlir.make_ir_context.cache_clear()
        for name in set(gradients) - before:
            del gradients[name]
        if backend == "tensorflow":
            from keras_perceptual._backend import tensorflow, tensorflow_blocks

            # What is used again for equal settings has lost its gradients.
            tensorflow._compiled.cache_clear()
            tensorflow_blocks.blockwise.cache_clear()
        gc.collect()
        give_back_memory()


def share_contexts():
    """Has JAX compile what a file calls in one context, not one for each call.

    To make one takes longer than to compile most of what tests call.
    """
    if keras.backend.backend() == "jax":
        from jax._src.interpreters import mlir

        if hasattr(mlir, "make_ir_context"):
            mlir.make_ir_context = functools.cache(mlir.make_ir_context)


def give_back_memory():
    """Gives memory that is free within this process back to the system.

    Of what a file on JAX computes and compiles, three gigabytes stayed.
    """
    with contextlib.suppress(AttributeError, OSError):
        # Of the C library of Linux alone.
        ctypes.CDLL(None).malloc_trim(0)


def traced_gradients():
    """Returns where TensorFlow keeps the gradients of functions by name.

    Each holds on to the graph that it was traced in, and none is ever deleted.
    """
    from tensorflow.python.framework import ops

    return ops.gradient_registry._registry
