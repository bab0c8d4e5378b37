import keras
import numpy as np
import pytest

from keras_perceptual import _backend


def scaled_square(scale, x):
    return scale * x * x


def test_the_function_stays_what_it_is(rng):
    x = rng.uniform(size=(3, 2)).astype("float32")
    compile_in_graph = _backend.load("compilation").compile_in_graph
    found = compile_in_graph(scaled_square, 2.0)(keras.ops.convert_to_tensor(x))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), 2 * x * x, rtol=1e-6
    )


@pytest.mark.tensorflow_only
def test_in_a_graph_it_is_compiled_once_for_equal_settings(rng):
    import tensorflow as tf

    from keras_perceptual._backend.tensorflow.compilation import (
        compile_in_graph,
    )

    x = tf.constant(rng.uniform(size=(3, 2)).astype("float32"))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = compile_in_graph(scaled_square, 2.0)(x)
        return y, tape.gradient(y, x)

    calls = [
        node.attr["_XlaMustCompile"].b
        for node in step.get_concrete_function(x).graph.as_graph_def().node
        if "PartitionedCall" in node.op
    ]
    # There and back.
    assert calls == [True, True]
    y, slope = step(x)
    np.testing.assert_allclose(y, 2 * x * x, rtol=1e-6)
    np.testing.assert_allclose(slope, 4 * x, rtol=1e-6)


@pytest.mark.tensorflow_only
def test_sizes_that_may_change_with_every_step_are_not_compiled():
    import tensorflow as tf

    from keras_perceptual._backend.tensorflow.compilation import (
        compile_in_graph,
    )

    def calls(*shape):
        step = tf.function(compile_in_graph(scaled_square, 3.0))
        graph = step.get_concrete_function(tf.TensorSpec(shape)).graph
        return [op.type for op in graph.get_operations() if "Call" in op.type]

    assert len(calls(None, 4)) == 1
    assert not calls(2, None)


@pytest.mark.tensorflow_only
def test_variables_of_a_strategy_stay_apart():
    """None becomes a part of what is compiled, in the place of the next."""
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    compile_in_graph = _backend.load("compilation").compile_in_graph
    double = compile_in_graph(lambda x: 2.0 * x)
    found = []
    for value in (1.0, 2.0):
        with strategy.scope():
            variable = tf.Variable([value])

        @tf.function
        def step(variable=variable):
            with tf.GradientTape() as tape:
                result = double(variable)
            return result, tape.gradient(result, variable)

        found.append([float(x[0]) for x in strategy.run(step)])
    assert found == [[2.0, 2.0], [4.0, 2.0]]
