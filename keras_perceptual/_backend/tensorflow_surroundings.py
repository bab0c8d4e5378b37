"""Where the code that asks is run: on what, compiled, rewritten, or watched."""

from typing import Any

import tensorflow as tf

from keras_perceptual._backend import defaults
from keras_perceptual.typing import Tensor


def has_accelerator() -> bool:
    """Whether TensorFlow sees a device that is no CPU."""
    return any(
        device.device_type != "CPU"
        for device in tf.config.list_physical_devices()
    )


def is_debugged() -> bool:
    """Whether operations bring others along, as with check_numerics."""
    with tf.Graph().as_default() as graph:
        tf.identity(tf.zeros(()))
    return len(graph.get_operations()) > 2


def is_vectorized() -> bool:
    """Whether a loop is being rewritten, as for a Jacobian.

    What is done many times at once knows no loop over blocks.
    """
    return defaults.runs_in("tensorflow.python.ops.parallel_for")


def has_tangents(*tensors: Tensor) -> bool:
    """Whether derivatives are being computed forward, which loops refuse."""
    try:
        from tensorflow.python.eager.forwardprop_util import pack_tangents
    except ImportError:
        return False
    return bool(pack_tangents(list(tensors)).tangents)


def graph_around_compiled_code() -> Any:
    """Returns the graph that calls the compiled function being traced, if any.

    While a function is traced for XLA, TensorFlow marks the graph it is called
    from.
    """
    try:
        from tensorflow.python.ops.control_flow_util import InXlaContext
    except ImportError:
        # Any graph may be compiled then, and nobody is to be called.
        InXlaContext = bool
    graph, found = tf.compat.v1.get_default_graph(), None
    while graph is not None:
        found = graph if InXlaContext(graph) else found
        graph = getattr(graph, "outer_graph", None)
    return found
