"""Calling Python from the middle of a computation."""

import tensorflow as tf


def call_when(condition, function, values, state):
    """Calls `function` with an array of `values` where `condition` holds.

    Compiled code (XLA) cannot call Python. There the values are left in a
    variable, and the graph around the compiled function, such as that of
    `fit`, looks at it, at the next step at the latest. Where there is no such
    graph, or several devices, nobody looks.

    Args:
        condition: Boolean scalar tensor.
        function: Function of one NumPy array; what it raises stops the step.
        values: Tensor of a few numbers.
        state: Dictionary that keeps the variable from one trace to the next.
    """
    values = tf.stop_gradient(values)
    if tf.executing_eagerly():
        if condition:
            function(values.numpy())
        return
    compiled_in = _graph_around_compiled_code()
    if compiled_in is None:
        _call_in_graph(condition, function, values)
        return
    one_device = tf.distribute.get_strategy().num_replicas_in_sync == 1
    if not (one_device and getattr(compiled_in, "building_function", False)):
        return
    with tf.init_scope():
        size = values.shape[0]
        if "seen" not in state:
            state["seen"] = tf.Variable(tf.zeros(size + 1), trainable=False)
    seen = state["seen"]
    found = tf.concat([[1.0], tf.cast(values, tf.float32)], 0)
    seen.assign(tf.where(condition, found, tf.zeros_like(found)))
    with compiled_in.as_default():
        last = seen.read_value()
        _call_in_graph(last[0] > 0, function, last[1:])


def _graph_around_compiled_code():
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


def _call_in_graph(condition, function, values):
    """Adds a call to a graph that is not compiled."""

    def call(values):
        tf.numpy_function(function, [values], [])
        return tf.constant(True)

    tf.cond(condition, lambda: call(values), lambda: tf.constant(False))
