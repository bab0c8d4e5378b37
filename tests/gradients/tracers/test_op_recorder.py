import gc
import sys

import keras
import pytest
from keras import layers

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def make():
    from keras_perceptual.gradients.tracers.tensorflow import op_recorder

    return op_recorder.OpRecorder


def kinds(recorder):
    return [record.kind for record in recorder.records]


def test_operations_inputs_and_outputs(make):
    import tensorflow as tf

    x, recorder = tf.constant([1.0, 2.0]), make([])
    with recorder.recording(sys._getframe()):
        y = tf.nn.relu(x * 2.0)
    z = y * 2.0
    product, relu = recorder.records
    assert (product.kind, relu.kind) == ("Mul", "Relu")
    assert product.inputs[0] == id(x)
    assert product.outputs == relu.inputs
    assert relu.outputs == (id(y),)
    assert id(z) not in recorder.tensors


def test_keys_are_not_used_again(make):
    """They are addresses: what has one must stay alive."""
    import tensorflow as tf

    recorder = make([])
    with recorder.recording(sys._getframe()):
        for _ in range(50):
            tf.constant(1.0) + 1.0
    keys = [key for r in recorder.records for key in (r.inputs[0], *r.outputs)]
    assert len(set(keys)) == 100


def test_what_is_noted_is_handed_back(make):
    import tensorflow as tf

    x, recorder = tf.constant(1.0), make([])
    assert recorder.note(b"Own", [x, "no tensor"], [x]) is recorder.records[0]
    (record,) = recorder.records
    assert record.kind == "Own"
    assert record.inputs == record.outputs == (id(x),)
    with recorder.paused():
        assert recorder.note("Own", [x], [x]) is None
    assert len(recorder.records) == 1


def test_what_depends_on_variables(make):
    import tensorflow as tf

    weight, other = keras.Variable(2.0), tf.Variable(3.0)
    recorder, made = make([weight]), []
    recorder.when_made = made.append
    with recorder.recording(sys._getframe()):
        read = tf.convert_to_tensor(weight)
        lower = tf.cast(read, "float16")
        whole = tf.cast(read, "int32")
        foreign = other * 2.0
        fast = tf.raw_ops.AddV2(x=other, y=weight.value)
    assert recorder.holders[id(read)] == id(weight)
    assert recorder.holders[id(lower)] == id(weight)
    assert id(whole) in recorder.dependent - recorder.holders.keys()
    assert id(foreign) not in recorder.dependent
    assert [id(tensor) for tensor in made] == [id(fast)]
    # What the last one read by itself is known too.
    last = recorder.records[-1]
    assert [key in recorder.holders for key in last.inputs] == [False, True]


def test_variables_in_a_list_are_read_before(make):
    import tensorflow as tf

    weight = keras.Variable([2.0])
    recorder, x = make([weight]), tf.constant([1.0])
    with recorder.recording(sys._getframe()):
        total = tf.concat([x, weight.value], axis=0)
    assert total.numpy().tolist() == [1, 2]
    (concat,) = (r for r in recorder.records if r.kind == "ConcatV2")
    assert recorder.holders[concat.inputs[1]] == id(weight)
    assert concat.outputs[0] in recorder.dependent


def test_what_was_written_is_read(make):
    import tensorflow as tf

    canvas, recorder = tf.Variable(3.0), make([])
    with recorder.recording(sys._getframe()):
        canvas.read_value()
        canvas.assign_add(1.0)
        canvas.read_value()
    before, write, after = (
        r for r in recorder.records if r.inputs[0] == id(canvas.handle)
    )
    assert len(before.inputs) == len(write.outputs) == 1
    assert after.inputs[1:] == write.outputs


def test_frames_and_scope(make):
    import tensorflow as tf

    class Inner(layers.Layer):
        def call(self, x):
            return tf.abs(x)

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__(name="outer")
            self.inner = Inner(name="inner")

        def call(self, x):
            return self.inner(x)

    recorder = make([])

    def step():
        return Outer()(tf.constant([1.0]))

    with recorder.recording(sys._getframe()):
        step()
    (record,) = [r for r in recorder.records if r.kind == "Abs"]
    assert record.scope == ("outer", "inner")
    own = [f for f in record.frames if f.filename == __file__]
    assert [f.name for f in own] == ["step", "call", "call"]
    assert record.frames[0] is own[0]
    assert "tf.abs(x)" in own[-1].line
    assert not any(
        f.filename.endswith("tensorflow/op_recorder.py") for f in record.frames
    )


def test_what_is_not_written_down(make):
    import tensorflow as tf

    recorder = make([])
    with recorder.recording(sys._getframe()):
        with recorder.paused():
            tf.constant(1.0) + 1.0
        assert recorder.listening
        with tf.Graph().as_default():
            assert not recorder.listening
            tf.constant(1.0) + 1.0
        with recorder.in_branch():
            tf.constant(1.0) * 1.0
        tf.constant(1.0) - 1.0
    assert kinds(recorder) == ["Mul", "Sub"]
    assert [r.conditional for r in recorder.records] == [True, False]


def test_what_deletes_garbage_is_not_written_down(make):
    """It runs anywhere, also while what is written down is gone through."""
    import tensorflow as tf

    class Iterator:
        def __init__(self):
            self.itself = self

        def __del__(self):
            tf.cos(x)

    x, recorder = tf.constant(1.0), make([])
    with recorder.recording(sys._getframe()):
        Iterator()
        y = x + 1.0
        gc.collect(0)
        y * 2.0
    assert kinds(recorder) == ["AddV2", "Mul"]
    gc.collect(0)
    assert recorder.note("Own", [x], [x]) is recorder.records[-1]
