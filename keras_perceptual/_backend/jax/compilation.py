"""Compilation of parts of a graph, which TensorFlow alone has."""

import functools


def compile_in_graph(function, *settings):
    """Returns a function with its settings: there is no graph to speed up.

    Args:
        function: Function of `settings` and tensors.
        *settings: Its first arguments.
    """
    return functools.partial(function, *settings)
