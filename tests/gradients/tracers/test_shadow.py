"""What is computed beside a compiled step on TensorFlow."""

import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.statistics import GradientStatistics

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def tf():
    import tensorflow as tf

    return tf


@pytest.fixture
def shadow():
    return tracers.load("shadow")


X = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")


class Step:
    """A step that notes its gradients as the tracer does."""

    def __init__(self, tf, shadow, penalties=dict, scale=None):
        self.tf, self.shadow = tf, shadow
        self.weight = tf.Variable([1.0, 2.0])
        self.table = tf.Variable(tf.ones((4, 2)))
        self.calls, self.runs = [], 0
        self.penalties, self.scale = penalties, scale

    def __call__(self, data):
        tf = self.tf
        self.runs += 1
        with tf.GradientTape() as tape:
            looked_up = tf.gather(self.table, [1, 3])
            loss = tf.reduce_sum(data["x"] * self.weight**2)
            loss += tf.reduce_sum(looked_up * data["x"])
        gradient, slices = tape.gradient(loss, [self.weight, self.table])
        self.calls.append(
            self.shadow.Call(
                [1, 2],
                [gradient, slices.values],
                self.scale,
                False,
                self.penalties,
            )
        )
        self.weight.assign_sub(gradient)
        return loss


def statistics_of(compute, batch):
    ((keys, rows),) = compute(batch)
    return keys, [GradientStatistics.from_row(row) for row in rows]


@pytest.fixture
def traced(tf, shadow):
    def trace(**arguments):
        step = Step(tf, shadow, **arguments)
        function = tf.function(step, autograph=False, jit_compile=True)
        spec = {"x": tf.TensorSpec((None, 2), "float32")}
        function.get_concrete_function(spec)
        return step, shadow.make_shadow(step.calls, [])

    return trace


def test_statistics_without_running_python_again(traced, tf):
    step, compute = traced()
    keys, found = statistics_of(compute, {"x": tf.constant(X)})
    assert keys == [1, 2]
    # The sum over x of 2 w x, and x itself.
    assert found[0].norm == pytest.approx(np.hypot(8, 24))
    assert found[1].norm == pytest.approx(np.sqrt(30))
    assert step.runs == 1


def test_values_of_variables_are_those_of_now(traced, tf):
    step, compute = traced()
    step.weight.assign([2.0, 4.0])
    _, found = statistics_of(compute, {"x": tf.constant(X)})
    assert found[0].norm == pytest.approx(2 * np.hypot(8, 24))


def test_nothing_is_written(traced, tf):
    step, compute = traced()
    compute({"x": tf.constant(X)})
    np.testing.assert_array_equal(step.weight, [1.0, 2.0])


def test_batches_of_another_size(traced, tf):
    _, compute = traced()
    _, found = statistics_of(compute, {"x": tf.constant(X[:1])})
    assert found[0].norm == pytest.approx(np.hypot(2, 8))


def test_tensorflow_does_not_count_how_often_it_is_traced(traced, tf, caplog):
    """It would warn in the fifth training run of a process."""
    with caplog.at_level("WARNING", logger="tensorflow"):
        for _ in range(6):
            _, compute = traced()
            compute({"x": tf.constant(X)})
    assert "retracing" not in caplog.text


def test_data_that_no_gradient_needs(tf, shadow):
    weight, calls = tf.Variable(2.0), []

    @tf.function(jit_compile=True, autograph=False)
    def step(data):
        x, unused = data
        with tf.GradientTape() as tape:
            loss = x * weight
        gradient = tape.gradient(loss, weight)
        calls.append(shadow.Call([1], [gradient], None, False, dict))
        return loss + unused

    step((tf.constant(3.0), tf.constant(1.0)))
    compute = shadow.make_shadow(calls, [])
    _, (found,) = statistics_of(compute, (tf.constant(5.0), tf.constant(1.0)))
    assert found.norm == 5.0


def test_parts_of_a_batch_that_are_nothing(tf, shadow):
    """As Keras has it for weights of samples that nobody gave."""
    weight, calls = tf.Variable(2.0), []

    @tf.function(jit_compile=True, autograph=False)
    def step(data):
        x, _ = data
        with tf.GradientTape() as tape:
            loss = x * weight
        gradient = tape.gradient(loss, weight)
        calls.append(shadow.Call([1], [gradient], None, False, dict))
        return loss

    step((tf.constant(3.0), None))
    compute = shadow.make_shadow(calls, [])
    _, (found,) = statistics_of(compute, (tf.constant(5.0), None))
    assert found.norm == 5.0


def test_penalties_and_loss_scale(traced, tf):
    _, compute = traced(
        penalties=lambda: {0: tf.constant([4.0, 12.0])}, scale=2.0
    )
    _, found = statistics_of(compute, {"x": tf.constant(X)})
    assert found[0].norm == pytest.approx(np.hypot(4, 12))
    assert found[0].data_norm == 0.0
    assert found[0].only_penalized


def test_loops_and_branches(tf, shadow):
    """Their functions come along."""
    weight, calls = tf.Variable(2.0), []

    @tf.function(jit_compile=True)
    def step(x):
        with tf.GradientTape() as tape:
            loss = x * weight
            for _ in tf.range(3):
                loss = loss * 2.0
            loss = tf.cond(x > 0, lambda: loss, lambda: -3.0 * loss)
        gradient = tape.gradient(loss, weight)
        calls.append(shadow.Call([1], [gradient], None, False, dict))
        return loss

    step(tf.constant(3.0))
    compute = shadow.make_shadow(calls, [])
    norms = [
        statistics_of(compute, tf.constant(x))[1][0].norm for x in (5.0, -5.0)
    ]
    assert norms == [40.0, 120.0]


def test_functions_in_functions(tf, shadow):
    """What is captured from around the graph is what it stands for."""
    weight, factor, calls = tf.Variable(2.0), tf.constant(3.0), []

    @tf.function(autograph=False)
    def outer(x):
        constant = factor * 1.0

        @tf.function(jit_compile=True, autograph=False)
        def step(x):
            with tf.GradientTape() as tape:
                loss = x * weight * factor
            gradient = tape.gradient(loss, weight)
            calls.append(shadow.Call([1], [gradient], None, False, dict))
            return loss

        return step(x) + constant

    outer(tf.constant(1.0))
    compute = shadow.make_shadow(calls, [])
    _, (found,) = statistics_of(compute, tf.constant(2.0))
    assert found.norm == 6.0


def counting_step(tf, count):
    """Returns a step that writes before it computes gradients."""
    state, weight, calls = tf.Variable(1.0), tf.Variable(2.0), []
    generator = tf.random.Generator.from_seed(1)

    def step(x):
        count(tf, state, generator)
        with tf.GradientTape() as tape:
            loss = x * weight * state
        gradient = tape.gradient(loss, weight)
        calls.append((gradient, gradient.graph))
        return loss

    return step, [state, generator.state], calls


def add_directly(tf, state, generator):
    state.assign_add(1.0 + tf.floor(generator.uniform(())))


def add_in_a_loop(tf, state, generator):
    for _ in tf.range(3):
        state.assign_add(1.0)


def add_in_a_function(tf, state, generator):
    tf.function(lambda: state.assign_add(1.0), autograph=False)()


@pytest.mark.parametrize("count", [add_directly, add_in_a_loop])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_what_is_written_on_the_way_is_put_back(tf, shadow, count, jit_compile):
    """What a loop writes to has to be known, for its type."""
    step, written, calls = counting_step(tf, count)
    known = [Known(v) for v in written if count is add_in_a_loop]
    tf.function(step, jit_compile=jit_compile)(tf.constant(3.0))
    ((gradient, graph),) = calls
    assert shadow.can_have_shadow(graph, known)
    call = shadow.Call([1], [gradient], None, False, dict)
    compute = shadow.make_shadow([call], known, jit_compile)
    before = [variable.numpy() for variable in written]
    norms = [
        statistics_of(compute, tf.constant(1.0))[1][0].norm for _ in range(2)
    ]
    for variable, value in zip(written, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    # The step runs from the state that the first one has left.
    added = 3.0 if count is add_in_a_loop else 1.0
    assert norms == [before[0] + added] * 2


class Known:
    """A variable of Keras, as far as it matters."""

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    "count",
    [
        lambda tf, state, _: tf.print(state),
        lambda tf, state, _: state.assign(
            tf.numpy_function(np.square, [state], "float32")
        ),
        add_in_a_function,
    ],
    ids=["print", "Python", "function that writes"],
)
def test_what_must_run_once_is_not_computed_beside(tf, shadow, count):
    step, _, calls = counting_step(tf, count)
    tf.function(step, autograph=False)(tf.constant(3.0))
    ((_, graph),) = calls
    assert not shadow.can_have_shadow(graph, [])


@pytest.mark.slow
def test_step_is_not_changed(tf):
    """Its graph is the one that it has without a check."""
    from gradient_models import healthy_model, regression_data

    from keras_perceptual.callbacks import GradientSanityCallback

    graphs = []

    def loss(y_true, y_pred):
        graphs.append(y_pred.graph)
        return keras.ops.square(y_true - y_pred)

    sizes = []
    for callbacks in ([], [GradientSanityCallback()]):
        graphs.clear()
        keras.utils.clear_session()
        model = healthy_model("sgd", loss, jit_compile=True)
        model.fit(*regression_data(8), verbose=0, callbacks=callbacks)
        sizes.append([len(graph.get_operations()) for graph in graphs])
    assert sizes[0] == sizes[1]
