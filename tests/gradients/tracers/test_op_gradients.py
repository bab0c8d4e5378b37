import sys

import pytest

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def differentiable():
    """Returns a function that tells it of the operations that run in one."""
    from keras_perceptual.gradients.tracers.tensorflow import (
        op_gradients,
        op_recorder,
    )

    def differentiable(function, failed=()):
        recorder = op_recorder.OpRecorder([])
        with recorder.recording(sys._getframe()):
            function()
        ask = op_gradients.OpGradients(recorder.tensors, failed)
        return {record.kind: ask(record) for record in recorder.records}

    return differentiable


@pytest.mark.parametrize(
    "name, kind, expected",
    [
        ("math.tanh", "Tanh", True),
        ("nn.softmax", "Softmax", True),
        ("round", "Round", False),
        ("floor", "Floor", False),
        ("sign", "Sign", False),
        ("argmax", "ArgMax", False),
        ("stop_gradient", "StopGradient", False),
        ("zeros_like", "ZerosLike", False),
        ("unique", "Unique", False),
        ("shape", "Shape", False),
    ],
)
def test_kinds(differentiable, name, kind, expected):
    import tensorflow as tf

    function = tf
    for part in name.split("."):
        function = getattr(function, part)
    found = differentiable(lambda: function(tf.constant([1.0, 2.0])))
    assert found[kind] is expected


def test_types_matter(differentiable):
    import tensorflow as tf

    def cast(value, dtype):
        return differentiable(lambda: tf.cast(tf.constant(value), dtype))

    assert cast(1.0, "float16")["Cast"]
    assert not cast(1.0, "int32")["Cast"]
    # What goes in has lost its gradient before.
    assert cast(1, "float32")["Cast"]


def test_convolutions_are_asked_with_their_attributes(differentiable):
    import tensorflow as tf

    x, kernel = tf.ones((1, 8, 8, 1)), tf.ones((3, 3, 1, 2))
    assert differentiable(lambda: tf.nn.conv2d(x, kernel, 2, "SAME"))["Conv2D"]


def test_what_failed_has_none(differentiable):
    import tensorflow as tf

    found = differentiable(lambda: tf.abs(tf.constant(1.0)), failed={"Abs"})
    assert found == {"Abs": False}


def test_stateful_kinds():
    from keras_perceptual.gradients.tracers.tensorflow.op_gradients import (
        is_stateful,
    )

    assert is_stateful("RandomUniform")
    assert is_stateful("ReadVariableOp")
    assert is_stateful("LookupTableFindV2")
    assert not is_stateful("MatMul")
    assert not is_stateful("StatelessRandomUniformV2")
    assert not is_stateful("__inference_step_12")
