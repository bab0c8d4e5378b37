"""XLA for the parts of a graph that gain from it."""

import functools

import tensorflow as tf


def compile_in_graph(function, *settings):
    """Returns a function with its settings, compiled where a graph is built.

    On machines without an accelerator `fit` does not compile, and a graph
    keeps what every small step makes in memory. One call compiled by XLA among
    the others costs a compilation for each new shape, and can be
    differentiated. Where everything is compiled anyhow, where nothing is, and
    where more than the batch is of an unknown size, which may change with
    every step, the function stays as it is.

    Args:
        function: Function of `settings` and tensors or `None`, which returns
            tensors. It must not call back to Python.
        *settings: Its first arguments, which can be hashed. What was compiled
            for a function and equal settings is used again.
    """

    def run(*tensors):
        sizes = [
            size
            for tensor in tensors
            if tensor is not None
            for size in tensor.shape[1:]
        ]
        if tf.executing_eagerly() or None in sizes or _has_accelerator():
            return function(*settings, *tensors)
        # A variable that several devices have a copy of would become a part
        # of what is compiled, in the place of others of its shape.
        return _compiled(function, *settings)(
            *(x if x is None else tf.convert_to_tensor(x) for x in tensors)
        )

    return run


def _has_accelerator():
    return any(
        device.device_type != "CPU"
        for device in tf.config.list_physical_devices()
    )


@functools.lru_cache(maxsize=64)
def _compiled(function, *settings):
    return tf.function(
        functools.partial(function, *settings),
        jit_compile=True,
        autograph=False,
    )
