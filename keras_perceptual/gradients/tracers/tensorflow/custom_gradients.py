"""Having TensorFlow forget custom gradients together with their graphs.

For each call of a function with a `tf.custom_gradient` that it traces,
TensorFlow registers a function that holds the graph of the call, and never
takes it out of its registry again. Keras has such a call in the step of every
model (a gradient goes through `tf.distribute.ReplicaContext.all_reduce`).
"""

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_perceptual.gradients.patches import intercepted

# The attribute of a graph in which its custom gradients are.
_HELD = "_keras_perceptual_custom_gradients"


@contextlib.contextmanager
def forgettable_custom_gradients() -> Iterator[None]:
    """Has what is traced inside be garbage once nothing else holds it.

    A custom gradient is then held by its graph, and by those around it, and
    not by the registry. A graph that lives on can still be differentiated.
    """

    def register(original: Any, decorator: Any, gradient: Any) -> Any:
        graphs = _graphs_in_the_making()
        if not graphs or gradient.__module__ != tf.custom_gradient.__module__:
            return original(decorator, gradient)
        for graph in graphs:
            held = getattr(graph, _HELD, ())
            setattr(graph, _HELD, (*held, gradient))
        original(decorator, _not_holding(gradient))
        return gradient

    with intercepted(tf.RegisterGradient, "__call__", register):
        yield


def _graphs_in_the_making() -> Any:
    """Returns the graphs that are being traced, the innermost first."""
    graphs, graph = [], tf.compat.v1.get_default_graph()
    while graph.building_function:
        graphs.append(graph)
        graph = graph.outer_graph
    return graphs


def _not_holding(gradient: Any) -> Any:
    """Returns a function that does the same and does not hold it."""
    reference: Any = weakref.ref(gradient)
    return lambda *args: reference()(*args)
