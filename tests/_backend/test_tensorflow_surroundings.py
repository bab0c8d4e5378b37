"""What TensorFlow says of where code is run, in each of these places."""

import sys
import types

import keras
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("is about TensorFlow alone", allow_module_level=True)

import tensorflow as tf

from keras_perceptual._backend import tensorflow_surroundings as surroundings


def test_devices_that_are_no_cpu(monkeypatch):
    for kinds, expected in ((["CPU"], False), (["CPU", "GPU"], True)):
        devices = [types.SimpleNamespace(device_type=kind) for kind in kinds]
        monkeypatch.setattr(
            tf.config, "list_physical_devices", lambda found=devices: found
        )
        assert surroundings.has_accelerator() is expected


def test_operations_that_are_checked():
    assert not surroundings.is_debugged()
    tf.debugging.enable_check_numerics()
    try:
        assert surroundings.is_debugged()
    finally:
        tf.debugging.disable_check_numerics()
    assert not surroundings.is_debugged()


def test_a_loop_that_is_rewritten():
    found = []

    def double(x):
        found.append(surroundings.is_vectorized())
        return 2 * x

    double(tf.ones(3))
    tf.vectorized_map(double, tf.ones(3))
    assert found[0] is False and all(found[1:]) and len(found) > 1


def test_derivatives_that_are_computed_forward():
    x = tf.ones(3)
    assert not surroundings.has_tangents(x)
    with tf.autodiff.ForwardAccumulator(x, x):
        assert surroundings.has_tangents(tf.zeros(3), x)
        assert not surroundings.has_tangents(tf.zeros(3))


def test_without_the_private_name_of_forward_derivatives(monkeypatch):
    name = "tensorflow.python.eager.forwardprop_util"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    x = tf.ones(3)
    with tf.autodiff.ForwardAccumulator(x, x):
        assert not surroundings.has_tangents(x)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_graph_that_calls_compiled_code(compiled):
    found = []

    def function(x):
        found.append(surroundings.graph_around_compiled_code())
        return x

    function(tf.ones(3))
    inner = tf.function(function, jit_compile=compiled)
    graphs = []

    @tf.function
    def around(x):
        graphs.append(tf.compat.v1.get_default_graph())
        return inner(x)

    around(tf.ones(3))
    assert found[0] is None
    assert set(found[1:]) == ({graphs[-1]} if compiled else {None})


def test_any_graph_may_be_compiled_where_no_name_tells(monkeypatch):
    name = "tensorflow.python.ops.control_flow_util"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    found = []

    @tf.function
    def step(x):
        found.append(surroundings.graph_around_compiled_code())
        return x

    step(tf.ones(3))
    assert found and None not in found
