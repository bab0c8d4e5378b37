import keras
import pytest

pytestmark = pytest.mark.tensorflow_only


def test_calls_are_answered_until_the_end():
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow.tapes import (
        intercept_gradient,
    )

    variable = keras.Variable(3.0)
    original = tf.GradientTape.gradient
    seen = []

    def answer(method, tape, target, sources):
        seen.append(tape.watched_variables()[0] is variable.value)
        return method(tape, target, sources) * 10

    def gradient():
        with tf.GradientTape() as tape:
            target = variable.value * 2
        return float(tape.gradient(target, variable.value))

    with pytest.raises(KeyError), intercept_gradient(answer):
        assert gradient() == 20
        raise KeyError
    assert seen == [True]
    assert tf.GradientTape.gradient is original
    assert gradient() == 2
