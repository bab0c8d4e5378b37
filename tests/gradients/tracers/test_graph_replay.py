import keras
import pytest

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def graph_replay():
    from keras_perceptual.gradients.tracers.tensorflow import graph_replay

    return graph_replay


def make_step(first, second, foreign):
    import tensorflow as tf

    def step(data):
        with tf.GradientTape() as tape:
            loss = tf.round(first * data) + second * data * foreign
        found = tape.gradient(loss, [first.value, second.value])  # Asked here.
        for gradient, variable in zip(found, (first, second), strict=True):
            variable.assign(variable - gradient)
        return loss

    return step


def gradient_of(replay, variable):
    return {
        key
        for key, holder in replay.holders.items()
        if holder == id(variable) and key in replay.derivatives[0].gradients
    }


def test_a_step_that_is_traced(graph_replay):
    import tensorflow as tf

    first, second = keras.Variable(2.0), keras.Variable(3.0)
    foreign = keras.Variable(1.0)
    x = tf.constant(4.0)
    replay = graph_replay.trace_replay(
        make_step(first, second, foreign), (x,), [(x, "x")], [first, second]
    )
    (derivative,) = replay.derivatives
    assert derivative.variables == {id(first), id(second)}
    assert "Asked here" in derivative.frames[-1].line
    assert not gradient_of(replay, first)
    assert gradient_of(replay, second)
    assert len(replay.changeable) == 1
    assert all(n.size is None for n in derivative.gradients.values())
    (name,) = replay.data.items()
    assert name[1] == "x"
    assert any(name[0] in o.inputs for o in replay.operations)


def test_a_function_that_recomputes(graph_replay):
    import tensorflow as tf

    weight = keras.Variable(2.0)

    @tf.recompute_grad
    def rounded(x):
        return tf.round(x)

    def step():
        with tf.GradientTape() as tape:
            loss = rounded(weight * 2.0)
        tape.gradient(loss, weight.value)

    replay = graph_replay.trace_replay(step, (), [], [weight])
    assert not gradient_of(replay, weight)
    assert "Round" in {o.kind for o in replay.operations}


def test_what_a_function_would_let_through(graph_replay):
    import tensorflow as tf

    x, y = tf.constant(1.0), tf.constant(2.0)
    assert graph_replay.connected_captures(lambda: x * tf.round(y)) == {id(x)}
    assert graph_replay.connected_captures(lambda: tf.constant(1.0)) == set()


def test_derivatives_by_what_is_no_variable_are_taken(graph_replay):
    """The step goes on computing with them."""
    import tensorflow as tf

    weight = keras.Variable(2.0)

    def step(data):
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(data)
                y = weight * data**2
            loss = inner.gradient(y, data)
        tape.gradient(loss, weight.value)

    x = tf.constant(4.0)
    replay = graph_replay.trace_replay(step, (x,), [(x, "x")], [weight])
    (derivative,) = replay.derivatives
    assert derivative.variables == {id(weight)}
    assert gradient_of(replay, weight)
