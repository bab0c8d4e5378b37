import sys

import keras
import pytest

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def record():
    """Returns a function that takes a step, and what the tapes were asked."""
    from keras_perceptual.gradients.tracers.tensorflow import (
        op_recorder,
        shadow_tapes,
    )

    def record(step, *variables):
        recorder = op_recorder.OpRecorder(variables)
        tapes = shadow_tapes.ShadowTapes(recorder)
        with tapes.recording(), recorder.recording(sys._getframe()):
            step()
        return recorder, tapes

    return record


def test_all_values_have_their_gradient(record):
    import tensorflow as tf

    weight = keras.Variable(2.0)

    def step():
        with tf.GradientTape() as tape:
            y = tf.square(weight * 3.0)
        tape.gradient(y, weight.value)

    recorder, tapes = record(step, weight)
    (question,) = tapes.questions
    _, product, square, gradient = recorder.records
    assert float(question.gradients[id(weight.value.handle)]) == 36
    assert float(question.gradients[product.outputs[0]]) == 12
    assert float(question.gradients[square.outputs[0]]) == 1
    assert question.targets == square.outputs
    assert question.variables == {id(weight)}
    # Nothing gets through what a tape does while no other one records.
    assert gradient.kind == "Gradient"
    assert gradient.inputs == square.outputs


def test_values_behind_a_cut_have_theirs(record):
    import tensorflow as tf

    weight = keras.Variable([2.0, 5.0])

    def step():
        with tf.GradientTape() as tape:
            index = tf.argmax(weight * 3.0)
            y = tf.cast(index, "float32") * weight[0]
            z = tf.stop_gradient(weight * 1.0) * y
        tape.gradient(z, weight.value)

    recorder, tapes = record(step, weight)
    (question,) = tapes.questions
    (cast,) = [r for r in recorder.records if r.kind == "Cast"]
    (stop,) = [r for r in recorder.records if r.kind == "StopGradient"]
    assert cast.outputs[0] in question.gradients
    assert cast.inputs[0] not in question.gradients
    assert stop.outputs[0] in question.gradients
    assert stop.inputs[0] not in question.gradients


def test_a_tape_within_another_is_written_down(record):
    import tensorflow as tf

    weight = keras.Variable(2.0)

    def step():
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                y = weight**3
            slope = inner.gradient(y, weight.value)
        outer.gradient(slope, weight.value)

    recorder, tapes = record(step, weight)
    first, second = (
        float(q.gradients[id(weight.value.handle)]) for q in tapes.questions
    )
    assert (first, second) == (12, 12)
    assert [r.kind for r in recorder.records].count("Gradient") == 1


def test_a_tape_that_is_asked_while_it_records(record):
    import tensorflow as tf

    weight = keras.Variable(2.0)

    def step():
        for persistent in (False, True):
            with tf.GradientTape(persistent) as tape:
                y = weight**2
                found.append(float(tape.gradient(y, weight.value)))
                z = y * weight
            if persistent:
                found.append(float(tape.gradient(z, weight.value)))

    found = []
    _, tapes = record(step, weight)
    assert found == [4, 4, 12]
    assert [
        float(q.gradients[id(weight.value.handle)]) for q in tapes.questions
    ] == found
    assert tapes.error is None


def test_what_a_tape_does_not_record_has_no_gradient(record):
    import tensorflow as tf

    weight = keras.Variable(2.0)

    def step():
        with tf.GradientTape() as tape:
            x = weight * 1.0
            with tape.stop_recording():
                scale = weight * 3.0
            y = x * scale
        assert float(tape.gradient(y, weight.value)) == 6

    _, tapes = record(step, weight)
    (question,) = tapes.questions
    assert float(question.gradients[id(weight.value.handle)]) == 6


def test_a_derivative_by_the_data_is_a_question_without_variables(record):
    import tensorflow as tf

    weight = keras.Variable(2.0)

    def step():
        x = tf.constant([1.0, 2.0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x * weight
        assert tape.gradient(y, x).numpy().tolist() == [2, 2]

    recorder, tapes = record(step, weight)
    (question,) = tapes.questions
    assert (question.variables, question.gradients) == (frozenset(), {})
    (product,) = (r for r in recorder.records if r.kind == "Mul")
    assert question.targets == product.outputs


@pytest.mark.parametrize("weights", [[1.0, 3.0], None])
def test_weights_of_what_is_differentiated(record, weights):
    import tensorflow as tf

    weight = keras.Variable(2.0)

    def step():
        with tf.GradientTape() as tape:
            y = weight * tf.constant([1.0, 1.0])
        given = None if weights is None else tf.constant(weights)
        found.append(float(tape.gradient(y, weight.value, given)))

    found = []
    _, tapes = record(step, weight)
    assert found == [sum(weights or [1, 1])]
    (question,) = tapes.questions
    assert [float(question.gradients[id(weight.value.handle)])] == found


def test_a_jacobian_is_one_question(record):
    import tensorflow as tf

    weight = keras.Variable([2.0, 3.0])

    def step():
        with tf.GradientTape(persistent=True) as tape:
            y = weight**2
        found = tape.jacobian(y, weight.value, experimental_use_pfor=False)
        assert found.numpy().tolist() == [[4, 0], [0, 6]]

    _, tapes = record(step, weight)
    (question,) = tapes.questions
    assert question.variables == {id(weight)}
    key = id(weight.value.handle)
    assert question.gradients[key].numpy().tolist() == [4, 6]


def test_gradients_are_of_the_shape_of_what_they_are_for():
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow.shadow_tapes import (
        _check_shapes,
    )

    vector, number = tf.constant([1.0, 2.0]), tf.constant(1.0)
    with pytest.raises(ValueError, match="incompatible"):
        _check_shapes([vector], [number])
    with pytest.raises(ValueError, match="incompatible"):
        _check_shapes([number, vector], [number, tf.ones(3)])
    # Of others nothing is known, or nothing is handed on.
    rows = tf.IndexedSlices(vector, tf.constant([0, 1]))
    for value, gradient in (
        (vector, None),
        (vector, rows),
        (tf.constant([1, 2]), number),
        (None, number),
    ):
        _check_shapes([value], [gradient])
    _check_shapes(None, vector)
    _check_shapes([vector], vector)


def test_a_reset_tape_has_forgotten(record):
    import tensorflow as tf

    weight = keras.Variable(2.0)

    def step():
        with tf.GradientTape() as tape:
            y = weight * 3.0
            tape.reset()
            z = y * 2.0
        assert tape.gradient(z, weight.value) is None

    _, tapes = record(step, weight)
    assert id(weight.value.handle) not in tapes.questions[0].gradients


def test_gradients_that_fail_are_none(record):
    import tensorflow as tf

    first, second = keras.Variable([2.0]), keras.Variable([3.0])

    def step():
        with tf.GradientTape() as tape:
            y = tf.unique(first * 1.0)[0] * second
        found.extend(tape.gradient(y, [first.value, second.value]))

    found = []
    _, tapes = record(step, first, second)
    assert found == [None, None]  # The tape itself had no answer.
    assert isinstance(tapes.error, LookupError)
    (question,) = tapes.questions
    assert question.failed == {"Unique"}
    assert float(question.gradients[id(second.value.handle)][0]) == 2
    assert id(first.value.handle) not in question.gradients


def test_tapes_are_as_before_afterwards(record):
    import tensorflow as tf

    names = "__init__ __enter__ __exit__ watch gradient jacobian".split()
    former = [vars(tf.GradientTape)[name] for name in names]

    def step():
        raise KeyError

    with pytest.raises(KeyError):
        record(step)
    assert [vars(tf.GradientTape)[name] for name in names] == former


def test_other_registries_of_tensorflow_are_asked_as_ever():
    from tensorflow.python.framework import registry

    from keras_perceptual.gradients.tracers.tensorflow.shadow_tapes import (
        _failing_gradients_are_none,
    )

    own = registry.Registry("own")
    own.register(len, "Length")
    failed = set()
    with _failing_gradients_are_none(failed):
        assert own.lookup("Length") is len
        with pytest.raises(LookupError):
            own.lookup("Width")
    assert failed == set()
