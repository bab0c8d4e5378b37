import sys

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def record():
    """Returns a function that calls another, and what was noted of it."""
    from keras_perceptual.gradients.tracers.tensorflow import (
        inlining,
        op_recorder,
    )

    def record(function):
        recorder = op_recorder.OpRecorder([])
        with inlining.inlined(recorder) as choices:
            with recorder.recording(sys._getframe()):
                recorder.result = function()
        recorder.choices = choices
        return recorder

    return record


def kinds(recorder):
    return [record.kind for record in recorder.records]


def test_functions_are_taken_apart(record):
    import tensorflow as tf

    class Owner:
        @tf.function
        def double(self, x):
            return inner(x) * 2.0

    @tf.function
    def inner(x):
        return tf.abs(x)

    recorder = record(lambda: Owner().double(tf.constant(-3.0)))
    assert kinds(recorder) == ["Abs", "Mul"]
    assert float(recorder.result) == 6


def test_a_function_without_python_is_one_operation(record):
    import tensorflow as tf

    concrete = tf.function(tf.abs).get_concrete_function(tf.TensorSpec(()))
    x = tf.constant(-3.0)
    recorder = record(lambda: concrete(x))
    (call,) = recorder.records
    assert call.kind == "PartitionedCall"
    assert call.inputs == (id(x),)
    assert call.outputs == (id(recorder.result),)
    assert call.graph is concrete.graph


def test_what_needs_a_graph_gets_one(record):
    import tensorflow as tf

    x = tf.constant([1.0, 2.0])
    recorder = record(lambda: tf.vectorized_map(lambda x: x * 2.0, x))
    assert kinds(recorder) == ["PartitionedCall"]
    assert recorder.result.numpy().tolist() == [2, 4]


@pytest.mark.parametrize("form", ["cond", "case", "switch_case"])
def test_conditions(record, form):
    import tensorflow as tf

    condition = tf.constant(1.0) > 0.0

    def yes():
        return tf.constant(2.0) * 3.0

    def no():
        return tf.constant(0.0)

    recorder = record(
        {
            "cond": lambda: tf.cond(condition, yes, no),
            "case": lambda: tf.case([(condition, yes)], default=no),
            "switch_case": lambda: tf.switch_case(
                tf.cast(condition, "int32"), {0: no, 1: yes}
            ),
        }[form]
    )
    product, choice = recorder.records[-2:]
    assert (product.kind, product.conditional) == ("Mul", True)
    assert (choice.kind, choice.conditional) == ("If", False)
    assert choice.inputs[1:] == product.outputs
    assert choice.outputs == (id(recorder.result),)
    assert float(recorder.result) == 6
    ((records, others),) = recorder.choices
    assert others == [no]
    assert product in records


def test_conditions_that_are_no_tensors(record):
    import tensorflow as tf

    recorder = record(lambda: tf.cond(True, lambda: None, lambda: 2))
    assert recorder.result is None
    assert not recorder.choices


def test_custom_gradients_are_one_operation(record):
    import tensorflow as tf

    @tf.custom_gradient
    def straight(x):
        return tf.round(x), lambda upstream: upstream

    x = tf.constant(1.2)

    def compute():
        with tf.GradientTape() as tape:
            tape.watch(x)
            return straight(x)

    recorder = record(compute)
    assert kinds(recorder) == ["Round", "CustomGradient"]
    assert recorder.records[1].inputs == (id(x),)
    assert recorder.records[1].outputs == (id(recorder.result),)


def test_nothing_is_recomputed(record):
    import tensorflow as tf

    x, calls = tf.constant(-3.0), []

    @tf.recompute_grad
    def function(x):
        calls.append(x)
        return tf.abs(x) * x

    def compute():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)

    recorder = record(compute)
    assert kinds(recorder)[:2] == ["Abs", "Mul"]
    assert len(calls) == 1
    assert float(recorder.result) == 6


def test_python_functions(record):
    import tensorflow as tf

    x = tf.constant([1.2, 3.4])
    recorder = record(
        lambda: tf.py_function(
            lambda x: [x * 2.0, x.numpy().round()], [x], [tf.float32] * 2
        )
    )
    assert kinds(recorder) == ["Mul", "EagerPyFunc"]
    # What TensorFlow computed in there is known.
    assert recorder.records[1].outputs == (id(recorder.result[1]),)
    recorder = record(lambda: tf.numpy_function(abs, [x], tf.float32))
    assert kinds(recorder) == ["PyFunc"]


def test_numpy_may_be_asked_by_name(record):
    """It is not called in another way than the step calls it."""
    recorder = record(lambda: np.array(dtype="float32", object=[1, 2]))
    assert recorder.result.tolist() == [1, 2]
    assert recorder.result.dtype == "float32"


def test_a_group_of_names_that_went_away(record, monkeypatch):
    import tensorflow as tf
    from tensorflow.python.ops import custom_gradient

    monkeypatch.delattr(custom_gradient, "_eager_mode_decorator")
    recorder = record(lambda: tf.function(tf.abs)(tf.constant(1.0)))
    assert kinds(recorder) == ["Abs"]
