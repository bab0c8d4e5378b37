"""What TensorFlow alone can do: graphs, strategies, compiled code."""

import sys
import types

import keras
import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual import _backend

if keras.backend.backend() != "tensorflow":
    pytest.skip("is about TensorFlow alone", allow_module_level=True)

import tensorflow as tf


def scaled_square(scale, x):
    return scale * x * x


def test_in_a_graph_it_is_compiled_once_for_equal_settings(rng):
    x = tf.constant(rng.uniform(size=(3, 2)).astype("float32"))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = _backend.compile_in_graph(scaled_square, 2.0)(x)
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


def test_sizes_that_may_change_with_every_step_are_not_compiled():
    def calls(*shape):
        step = tf.function(_backend.compile_in_graph(scaled_square, 3.0))
        graph = step.get_concrete_function(tf.TensorSpec(shape)).graph
        return [op.type for op in graph.get_operations() if "Call" in op.type]

    assert len(calls(None, 4)) == 1
    assert not calls(2, None)


def test_a_few_sizes_are_compiled_and_no_more():
    """Or each size of a data set would keep a program in memory."""

    def is_compiled(size):
        step = tf.function(_backend.compile_in_graph(scaled_square, 4.0))
        np.testing.assert_array_equal(step(tf.ones((1, size))), 4)
        graph = step.get_concrete_function(tf.ones((1, size))).graph
        return any("Call" in x.type for x in graph.get_operations())

    found = [is_compiled(size) for size in range(2, 7)]
    assert found == [True, True, True, False, False]
    assert is_compiled(3)


@pytest.mark.parametrize("name", ["halve", "take_every_second"])
def test_smaller_images_are_a_pooling_where_slices_are_slow(name):
    """Neither XLA nor a program that is to run elsewhere needs it."""
    function = getattr(_backend, name)
    pools = []

    def step(x):
        found = function(x, (1, 2))
        operations = tf.compat.v1.get_default_graph().get_operations()
        pools.append(sum(x.type == "AvgPool" for x in operations))
        return found

    x = tf.ones((1, 4, 4, 3))
    tf.function(step)(x)
    tf.function(step, jit_compile=True)(x)
    tf.function(step).get_concrete_function(x)
    assert pools == [1, 0, 0]


def test_nothing_of_the_package_is_rewritten_when_it_is_traced():
    def change_sign(x):
        return -x if x > 0 else x

    assert tf.function(change_sign)(tf.ones(())) == -1
    step = tf.function(lambda x: _backend.as_written(change_sign)(x))
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        step(tf.ones(()))


@pytest.fixture
def check_numerics():
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@pytest.mark.parametrize("compiled_before", [False, True])
def test_nothing_is_compiled_where_every_operation_is_checked(
    compiled_before, request
):
    """XLA does not know the operations that check."""

    def make():
        return tf.function(_backend.compile_in_graph(scaled_square, 3.0))

    if compiled_before:
        make()(tf.ones(3))
    request.getfixturevalue("check_numerics")
    np.testing.assert_array_equal(make()(tf.ones(3)), 3)


@pytest.mark.slow
def test_losses_and_layers_train_where_every_operation_is_checked(
    check_numerics, rng
):
    images = rng.uniform(size=(2, 16, 16, 3)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            kp.LookupColorLayer(3),
            kp.AdaptiveLookupColorLayer(
                3, backbone=keras.layers.GlobalAveragePooling2D()
            ),
        ]
    )
    terms = {"edges": kp.SobelGradientLoss(scales=2), "ssim": kp.SSIMLoss()}
    model.compile("sgd", kp.WeightedSumLoss(terms))
    history = model.fit(
        images, images[::-1], verbose=0, callbacks=[kp.GradientSanityCallback()]
    )
    assert np.isfinite(history.history["loss"]).all()


def test_variables_of_a_strategy_stay_apart():
    """None becomes a part of what is compiled, in the place of the next."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    double = _backend.compile_in_graph(lambda x: 2.0 * x)
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


def watched(seen, state):
    """Returns a function that tells about its input where that is above 1."""

    def function(x):
        _backend.call_when(
            tf.reduce_max(x) > 1, lambda v: seen.append(v.tolist()), x, state
        )
        return x * 2

    return function


def test_a_graph():
    seen = []
    function = tf.function(watched(seen, {}))
    for top in (0.5, 2.0, 3.0):
        function(tf.constant([0.0, top]))
    assert seen == [[0.0, 2.0], [0.0, 3.0]]


def test_the_graph_around_compiled_code_tells_in_the_end():
    seen = []
    compiled = tf.function(watched(seen, {}), jit_compile=True)
    around = tf.function(lambda x: compiled(x))
    for top in (0.5, 2.0, 0.5):
        around(tf.constant([0.0, top]))
    # TensorFlow may trace the function twice, and both traces tell.
    assert seen
    assert all(values == [0.0, 2.0] for values in seen)
    seen.clear()
    around(tf.constant([0.0, 0.5]))
    assert seen == []


def test_compiled_code_that_nothing_is_around_runs_in_silence():
    seen = []
    compiled = tf.function(watched(seen, {}), jit_compile=True)
    np.testing.assert_array_equal(compiled(tf.constant([0.0, 2.0])), [0, 4])
    assert seen == []


@pytest.mark.parametrize("compiled", [False, True])
def test_nobody_is_called_where_nothing_tells_of_compiled_code(
    compiled, monkeypatch
):
    """The name that does is a private one of TensorFlow."""
    seen = []
    function = tf.function(watched(seen, {}), jit_compile=compiled)
    outer = tf.function(lambda x: function(x) + 1)
    name = "tensorflow.python.ops.control_flow_util"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    outer(tf.constant([0.0, 2.0]))
    # Eager code is not compiled in any case.
    watched(seen, {})(tf.constant([0.0, 3.0]))
    assert seen == [[0.0, 3.0]]


def test_a_strategy_counts_its_devices_and_adds_up_in_its_steps():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        assert _backend.replica_count() == 1
        # Between the steps no device is computing.
        assert _backend.replica_total(tf.ones(2)) is None
    assert strategy.run(lambda: _backend.replica_count()) == 1


def test_a_variable_that_was_made_outside_a_strategy_is_on_one_device(
    monkeypatch,
):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    outside = keras.Variable(0.0)
    with strategy.scope():
        inside = keras.Variable(0.0)
    assert _backend.is_everywhere(outside)
    own = sys.modules["keras_perceptual._backend.tensorflow"]
    monkeypatch.setattr(own, "replica_count", lambda: 2)
    assert not own.is_everywhere(outside)
    assert own.is_everywhere(inside)


@pytest.mark.parametrize(
    "task, jobs, expected",
    [
        ((None, None), [], True),
        (("chief", 0), ["chief", "worker"], True),
        (("worker", 0), ["chief", "worker"], False),
        (("worker", 0), ["worker"], True),
        (("worker", 1), ["worker"], False),
    ],
)
def test_the_chief_of_several_workers(task, jobs, expected):
    resolver = types.SimpleNamespace(
        task_type=task[0],
        task_id=task[1],
        cluster_spec=lambda: types.SimpleNamespace(jobs=jobs),
    )
    model = types.SimpleNamespace(
        distribute_strategy=types.SimpleNamespace(cluster_resolver=resolver)
    )
    assert _backend.is_chief(model) is expected


def test_what_is_folded_has_a_gradient_in_xla():
    """XLA refuses a loop of which it does not know how long it gets."""

    @tf.function(jit_compile=True)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = _backend.fold(lambda i, y: x * y, 3, tf.ones(()))
        return tape.gradient(y, x)

    assert float(gradient(tf.constant(2.0))) == 12
