import importlib
import sys
import types

import keras
import numpy as np
import pytest
from keras import ops

from keras_perceptual import _backend

host_calls = _backend.load("host_calls")


def watched(seen, state):
    """Returns a function that tells about its input where that is above 1."""

    def function(x):
        host_calls.call_when(
            ops.max(x) > 1, lambda v: seen.append(v.tolist()), x, state
        )
        return x * 2

    return function


def test_calls_with_the_values_where_the_condition_holds():
    seen = []
    function = watched(seen, {})
    function(ops.convert_to_tensor([0.0, 0.5]))
    assert seen == []
    function(ops.convert_to_tensor([0.0, 2.0]))
    assert seen == [[0.0, 2.0]]


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)
def test_compiled_jax():
    import jax

    seen = []
    function = jax.jit(watched(seen, {}))
    for top in (0.5, 2.0, 3.0):
        function(np.array([0.0, top], "float32"))
    jax.effects_barrier()
    assert seen == [[0.0, 2.0], [0.0, 3.0]]


@pytest.mark.tensorflow_only
def test_a_graph():
    import tensorflow as tf

    seen = []
    function = tf.function(watched(seen, {}))
    for top in (0.5, 2.0, 3.0):
        function(tf.constant([0.0, top]))
    assert seen == [[0.0, 2.0], [0.0, 3.0]]


@pytest.mark.tensorflow_only
def test_the_graph_around_compiled_code_tells_in_the_end():
    import tensorflow as tf

    seen = []
    compiled = tf.function(watched(seen, {}), jit_compile=True)
    around = tf.function(lambda x: compiled(x))
    for top in (0.5, 2.0, 0.5):
        around(tf.constant([0.0, top]))
    # TensorFlow may trace the function twice, and both traces tell.
    assert seen
    assert all(values == [0.0, 2.0] for values in seen)
    seen.clear()
    around(tf.constant([0.0, 0.5]))
    assert seen == []


@pytest.mark.tensorflow_only
def test_compiled_code_that_nothing_is_around_runs_in_silence():
    import tensorflow as tf

    seen = []
    compiled = tf.function(watched(seen, {}), jit_compile=True)
    np.testing.assert_array_equal(compiled(tf.constant([0.0, 2.0])), [0, 4])
    assert seen == []


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("compiled", [False, True])
def test_nobody_is_called_where_nothing_tells_of_compiled_code(
    compiled, monkeypatch
):
    """The name that does is a private one of TensorFlow."""
    import tensorflow as tf

    seen = []
    function = tf.function(watched(seen, {}), jit_compile=compiled)
    outer = tf.function(lambda x: function(x) + 1)
    name = "tensorflow.python.ops.control_flow_util"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    importlib.reload(host_calls)
    outer(tf.constant([0.0, 2.0]))
    # Eager code is not compiled in any case.
    watched(seen, {})(tf.constant([0.0, 3.0]))
    assert seen == [[0.0, 3.0]]
