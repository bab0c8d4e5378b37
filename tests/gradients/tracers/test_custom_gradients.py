import gc
import weakref

import pytest

pytestmark = pytest.mark.tensorflow_only


def doubled_gradient():
    """Returns a function of which the gradient is twice what it was."""
    import tensorflow as tf

    @tf.custom_gradient
    def function(x):
        return tf.square(x), lambda upstream: 4 * x * upstream

    return function


def test_what_is_traced_inside_is_forgotten():
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow import custom_gradients

    inner, graphs = doubled_gradient(), []

    @tf.function(autograph=False)
    def traced(x):
        graphs.append(weakref.ref(tf.compat.v1.get_default_graph()))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = inner(x)
        return tape.gradient(y, x)

    with custom_gradients.forgettable_custom_gradients():
        assert float(traced(tf.constant(3.0))) == 12
    gc.collect()
    assert graphs[0]() is not None
    del traced
    gc.collect()
    assert graphs[0]() is None


def test_function_that_lives_on_can_still_be_differentiated():
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow import custom_gradients

    inner = doubled_gradient()

    @tf.function(autograph=False)
    def kept(x):
        body = tf.function(lambda i, y: (i + 1, inner(y)), autograph=False)
        return tf.while_loop(
            lambda i, y: i < 2, body, (tf.constant(0), inner(x))
        )[1]

    def make_step():
        @tf.function(autograph=False)
        def step(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = kept(x)
            return tape.gradient(y, x)

        return step

    with custom_gradients.forgettable_custom_gradients():
        make_step()(tf.constant(1.1))
    gc.collect()
    # Three squares, each with twice its gradient: 8 * 8 * x**7.
    assert float(make_step()(tf.constant(1.1))) == pytest.approx(64 * 1.1**7)
    assert kept.experimental_get_tracing_count() == 1


def test_own_gradients_of_operations_stay_registered():
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow import custom_gradients

    original = tf.RegisterGradient.__call__

    @tf.function(autograph=False)
    def traced(x):
        @tf.RegisterGradient("KerasPerceptualTripled")
        def tripled(operation, upstream):
            return 3 * upstream

        return x

    with (
        pytest.raises(KeyError),
        custom_gradients.forgettable_custom_gradients(),
    ):
        traced(tf.constant(1.0))
        raise KeyError
    assert tf.RegisterGradient.__call__ is original
    del traced
    gc.collect()
    with tf.Graph().as_default() as graph:
        x = tf.constant(1.0)
        with graph.gradient_override_map({"Exp": "KerasPerceptualTripled"}):
            y = tf.exp(x)
        (gradient,) = tf.gradients(y, x)
        with tf.compat.v1.Session() as session:
            assert session.run(gradient) == 3
