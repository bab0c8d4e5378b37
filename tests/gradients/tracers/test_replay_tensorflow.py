"""Steps of TensorFlow, taken once more."""

import inspect
import threading

import keras
import numpy as np
import pytest
from keras import layers, ops

pytestmark = pytest.mark.tensorflow_only


def rounded(x):
    return ops.round(x * 4.0) / 4.0


def line_of(function):
    """Returns the line in which a function of one line does what it does."""
    return inspect.getsourcelines(function)[1] + 1


def replay_step(*args, **kwargs):
    from keras_perceptual.gradients.tracers.tensorflow import replay

    return replay.replay_step(*args, **kwargs)


def replay_function(*args):
    from keras_perceptual.gradients.tracers.tensorflow import replay

    return replay.replay_function(*args)


def ends(replay, variable, derivative=0):
    """Returns the operations from which no gradient of a variable comes."""
    gradients = replay.derivatives[derivative].gradients
    depending = {k for k, v in replay.holders.items() if v == id(variable)}
    found = []
    for operation in replay.operations:
        inputs = depending.intersection(operation.inputs)
        if inputs:
            depending.update(operation.outputs)
            there = any(key in gradients for key in operation.outputs)
            if there and not any(key in gradients for key in inputs):
                found.append(operation)
    return found


def own_lines(operation):
    return [f.lineno for f in operation.frames if f.filename == __file__]


def gradient_of(replay, variable, derivative=0):
    """Returns the `Numbers` of the gradient of a variable, if it has one."""
    gradients = replay.derivatives[derivative].gradients
    found = [
        gradients[key]
        for key, holder in replay.holders.items()
        if holder == id(variable) and key in gradients
    ]
    return found[0] if found else None


def forms():
    import tensorflow as tf

    return {
        "plain": rounded,
        "keras.ops.cond": lambda x: ops.cond(
            ops.max(x) > -99, lambda: rounded(x), lambda: x * 1.0
        ),
        "tf.cond": lambda x: tf.cond(
            tf.reduce_max(x) > -99, lambda: rounded(x), lambda: x * 1.0
        ),
        "keras.ops.switch": lambda x: ops.switch(
            ops.cast(ops.max(x) > -99, "int32"), [lambda x: x, rounded], x
        ),
        "tf.case": lambda x: tf.case(
            [(tf.reduce_max(x) > -99, lambda: rounded(x))], lambda: x * 1.0
        ),
        "keras.ops.fori_loop": lambda x: ops.fori_loop(
            0, 2, lambda i, x: rounded(x), x
        ),
        "keras.ops.scan": lambda x: ops.scan(
            lambda carry, x: (carry, rounded(x)), ops.zeros(()), x
        )[1],
        "keras.ops.map": lambda x: ops.map(rounded, x),
        "keras.ops.vectorized_map": lambda x: ops.vectorized_map(rounded, x),
        "tf.while_loop": lambda x: tf.while_loop(
            lambda i, x: i < 2, lambda i, x: (i + 1, rounded(x)), (0, x)
        )[1],
        "tf.map_fn": lambda x: tf.map_fn(rounded, x),
        "tf.recompute_grad": lambda x: tf.recompute_grad(rounded)(x),
        "tf.function": tf.function(rounded),
        "a concrete function": tf.function(rounded).get_concrete_function(
            tf.TensorSpec((3,))
        ),
        "tf.py_function": lambda x: tf.py_function(rounded, [x], tf.float32),
    }


FORMS = (
    "plain,keras.ops.cond,tf.cond,keras.ops.switch,tf.case,"
    "keras.ops.fori_loop,keras.ops.scan,keras.ops.map,"
    "keras.ops.vectorized_map,tf.while_loop,tf.map_fn,tf.recompute_grad,"
    "tf.function,a concrete function,tf.py_function"
).split(",")


@pytest.mark.parametrize("name", FORMS)
def test_rounding_is_found_in_whatever_calls_it(name):
    weight = keras.Variable([0.3, 0.4, 0.5])
    function = forms()[name]
    replay = replay_function(
        lambda: ops.sum(function(weight * 1.0) ** 2), [weight]
    )
    end = ends(replay, weight)[0]
    assert end.kind == "Round"
    assert not end.differentiable
    assert own_lines(end)[-1] == line_of(rounded)
    assert end.conditional == (name.endswith(("cond", "switch", "case")))
    assert gradient_of(replay, weight) is None


def test_other_branches_are_looked_into():
    import tensorflow as tf

    weight = keras.Variable([0.3, 0.4])

    def alternatives(other):
        replay = replay_function(
            lambda: ops.sum(
                tf.cond(weight[0] > 0, lambda: rounded(weight * 2), other)
            ),
            [weight],
        )
        (end,) = [o for o in ends(replay, weight) if o.kind == "Round"]
        return end.alternatives & replay.holders.keys()

    assert alternatives(lambda: weight * 3)
    assert not alternatives(lambda: tf.zeros(2))
    # What cannot be traced tells nothing, and stops nothing.
    assert not alternatives(lambda: 1 / 0)


def test_an_if_of_a_function_is_a_condition():
    import tensorflow as tf

    weight = keras.Variable([0.3, 0.4])

    @tf.function
    def choose(x):
        if tf.reduce_max(x) > -99.0:
            return rounded(x)
        return x

    replay = replay_function(lambda: ops.sum(choose(weight * 1.0)), [weight])
    (end,) = ends(replay, weight)
    assert end.kind == "Round"
    assert end.conditional
    assert end.alternatives
    assert [o.conditional for o in replay.operations if o.kind == "Max"] == [0]


def test_a_branch_that_is_a_constant_is_told_by_its_condition():
    import tensorflow as tf

    weight = keras.Variable([0.3, 0.4])
    replay = replay_function(
        lambda: tf.cond(
            tf.reduce_mean(weight.value) > 99.0,
            lambda: tf.reduce_sum(weight.value),
            lambda: tf.constant(1.0),
        ),
        [weight],
    )
    (end,) = ends(replay, weight)
    assert end.kind == "If"
    assert not end.conditional
    assert end.alternatives & replay.holders.keys()


def test_numbers_are_those_of_the_step():
    weight, other = keras.Variable([3.0, -4.0]), keras.Variable([0.0, 2.0])
    replay = replay_function(lambda: ops.sum(weight * other), [weight, other])
    (derivative,) = replay.derivatives
    assert derivative.variables == {id(weight), id(other)}
    (target,) = derivative.targets
    assert replay.values[target].size == 8
    assert gradient_of(replay, weight).size == 2
    assert gradient_of(replay, other).size == 4
    (product,) = [o for o in replay.operations if o.kind == "Mul"]
    assert derivative.contributions[product, 0] == 2
    assert derivative.contributions[product, 1] == 4
    assert [replay.holders[key] for key in product.inputs] == [
        id(weight),
        id(other),
    ]


def test_layers_data_and_other_variables_are_named():
    import tensorflow as tf

    inner = keras.Input((3,))
    hidden = layers.Dense(4, name="hidden")(inner)
    whole = ops.cast(ops.cast(hidden, "int32"), "float32")
    model = keras.Model(inner, layers.Dense(1, name="out")(whole))
    model.compile("sgd", "mse")
    model.optimizer.apply = lambda *args, **kwargs: None
    x, y = tf.ones((2, 3)), tf.ones((2, 1))
    replay = replay_step(
        model.train_step,
        ((x, y, None),),
        model.trainable_variables,
        [*model.metrics_variables, *model.optimizer.variables],
    )
    assert replay.data == {id(x): "x", id(y): "y"}
    first = model.trainable_variables[0]
    (end,) = ends(replay, first)
    assert end.scope[-1].startswith("cast")
    assert {o.scope[-1] for o in replay.operations if o.scope} >= {
        "hidden",
        "out",
    }
    read = {
        o.inputs[0] for o in replay.operations if o.kind == "ReadVariableOp"
    }
    assert read & replay.changeable  # The mean of the loss.
    assert read - replay.changeable <= replay.holders.keys()


def test_places_of_nested_data():
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow.replay import name_data

    a, b, c, d = (tf.constant(float(i)) for i in range(4))
    named = name_data(({"a": a, "m": [b, None]}, (c,), d))
    assert [name for _, name in named] == [
        "x['a']",
        "x['m'][0]",
        "y[0]",
        "sample_weight",
    ]
    assert [name for _, name in name_data(a)] == ["x"]


def test_own_gradients_come_through():
    """Though there is a rounding in the function."""
    import tensorflow as tf

    @tf.custom_gradient
    def straight(x):
        return tf.round(x), lambda upstream: upstream

    @tf.custom_gradient
    def nothing(x):
        return tf.round(x), lambda upstream: None

    weight = keras.Variable([0.3, 0.4])
    replay = replay_function(lambda: ops.sum(straight(weight * 2)), [weight])
    assert gradient_of(replay, weight).size == 2
    assert ends(replay, weight) == []
    assert any(o.kind == "Round" for o in replay.operations)
    replay = replay_function(lambda: ops.sum(nothing(weight * 2)), [weight])
    assert [o.kind for o in ends(replay, weight)] == ["CustomGradient"]


def test_variables_that_operations_read_by_themselves():
    import tensorflow as tf

    weight = keras.Variable([0.3, 0.4])
    replay = replay_function(
        lambda: tf.reduce_sum(
            tf.raw_ops.ConcatV2(values=[weight.value, [1.0]], axis=0)
        ),
        [weight],
    )
    (concat,) = [o for o in replay.operations if o.kind == "ConcatV2"]
    assert replay.holders[concat.inputs[0]] == id(weight)
    assert gradient_of(replay, weight).size == 1


def test_embeddings_and_casts_of_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    embedding = layers.Embedding(5, 3)
    embedding.build()
    (table,) = embedding.trainable_variables
    replay = replay_function(
        lambda: ops.sum(embedding(ops.convert_to_tensor([[1, 2]]))), [table]
    )
    assert gradient_of(replay, table).size == 1
    dense = layers.Dense(2)
    dense.build((None, 3))
    replay = replay_function(
        lambda: ops.sum(dense(ops.ones((1, 3)))), [dense.kernel]
    )
    (product,) = [o for o in replay.operations if o.kind == "MatMul"]
    assert replay.holders[product.inputs[1]] == id(dense.kernel)


def test_what_is_written_to_a_variable_is_cut():
    weight, copy = keras.Variable(2.0), keras.Variable(0.0)

    def compute():
        copy.assign(weight * 3.0)
        return copy * 2.0

    replay = replay_function(compute, [weight])
    (end,) = ends(replay, weight)
    assert end.kind == "AssignVariableOp"
    assert not end.differentiable


def test_an_operation_whose_gradient_fails():
    """The tape answers with an error; the replay with its place."""
    import tensorflow as tf

    weight = keras.Variable([0.3, 0.4])

    def compute():
        return tf.reduce_sum(tf.unique(weight * 2.0)[0] ** 2)

    with tf.GradientTape() as tape:
        loss = compute()
    with pytest.raises(LookupError):
        tape.gradient(loss, weight.value)
    replay = replay_function(compute, [weight])
    (end,) = ends(replay, weight)
    assert end.kind == "Unique"
    assert not end.differentiable


def test_python_and_numpy():
    import tensorflow as tf

    weight = keras.Variable([0.3, 0.4])
    for kind, function in {
        "PyFunc": lambda x: tf.numpy_function(np.round, [x], tf.float32),
        "EagerPyFunc": lambda x: tf.py_function(
            lambda x: np.round(x.numpy()), [x], tf.float32
        ),
    }.items():
        replay = replay_function(
            lambda function=function: ops.sum(function(weight * 1.0)), [weight]
        )
        (end,) = ends(replay, weight)
        assert end.kind == kind
        assert not end.differentiable
    replay = replay_function(
        lambda: tf.reduce_sum(tf.constant((weight * 1.0).numpy())), [weight]
    )
    assert ends(replay, weight) == []
    (left,) = [o for o in replay.operations if o.kind == "numpy"]
    assert left.inputs[0] in replay.values


class TestTapes:
    """Steps with tapes of their own."""

    def replay(self, step, *variables):
        return replay_step(step, (), list(variables))

    def test_several_derivatives_each_with_its_own_gradients(self):
        import tensorflow as tf

        first, second = keras.Variable(2.0), keras.Variable(3.0)

        def step():
            with tf.GradientTape(persistent=True) as tape:
                a = first * 5.0
                b = a * second
            tape.gradient(a, first.value)
            return tape.gradient(b, [first.value, second.value])

        replay = self.replay(step, first, second)
        assert gradient_of(replay, first, 0).size == 5
        assert gradient_of(replay, second, 0) is None
        assert gradient_of(replay, first, 1).size == 15
        assert gradient_of(replay, second, 1).size == 10
        assert replay.derivatives[0].variables == {id(first)}
        assert own_lines(replay.derivatives[0])

    def test_second_order(self):
        import tensorflow as tf

        weight = keras.Variable(2.0)
        x = tf.constant(3.0)

        def step():
            with tf.GradientTape() as outer:
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y = weight * x**3
                loss = inner.gradient(y, x)
            return outer.gradient(loss, weight.value)

        replay = self.replay(step, weight)
        # The inner one is by what is no variable.
        inner, derivative = replay.derivatives
        assert inner.variables == set() and not inner.gradients
        assert replay.values[inner.targets[0]].size == 54
        assert derivative.variables == {id(weight)}
        assert gradient_of(replay, weight, derivative=1).size == 27

    def test_a_relu_has_no_second_derivative(self):
        import tensorflow as tf

        weight = keras.Variable(2.0)
        x = tf.constant(3.0)

        def step():
            with tf.GradientTape() as outer:
                with tf.GradientTape(persistent=True) as inner:
                    inner.watch(x)
                    y = tf.nn.relu(weight * x)
                    slope = inner.gradient(y, x)
                    curve = inner.gradient(slope, x)
                loss = 0.0 if curve is None else curve
            return outer.gradient(loss, weight.value)

        replay = self.replay(step, weight)
        (end,) = [o for o in replay.operations if o.kind == "ReluGrad"][:1]
        relu = [o for o in replay.operations if o.kind == "Relu"]
        assert relu[0].outputs[0] in end.inputs

    def test_what_a_tape_does_not_see(self):
        import tensorflow as tf

        before, stopped, seen = (keras.Variable(2.0) for _ in range(3))

        def step():
            a = before * 3.0
            with tf.GradientTape() as tape:
                with tape.stop_recording():
                    b = stopped * 3.0
                loss = a * b * seen
            variables = [v.value for v in (before, stopped, seen)]
            assert tape.gradient(loss, variables)[:2] == [None, None]

        replay = self.replay(step, before, stopped, seen)
        assert gradient_of(replay, seen).size == 36
        for variable in (before, stopped):
            assert gradient_of(replay, variable) is None
            (end,) = ends(replay, variable)
            # Nothing is wrong with it; it ran where no tape was.
            assert end.kind == "Mul"
            assert end.differentiable
            assert end.inputs[0] in replay.holders

    def test_a_variable_that_is_not_watched(self):
        import tensorflow as tf

        weight, other = keras.Variable(2.0), keras.Variable(3.0)

        def step():
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weight.value)
                loss = weight * other
            return tape.gradient(loss, [weight.value, other.value])

        replay = self.replay(step, weight, other)
        assert gradient_of(replay, weight).size == 3
        assert gradient_of(replay, other) is None

    def test_a_variable_that_was_read_before(self):
        import tensorflow as tf

        weight = keras.Variable(2.0)

        def step():
            value = tf.convert_to_tensor(weight)
            with tf.GradientTape() as tape:
                loss = value * 3.0
            assert tape.gradient(loss, weight.value) is None

        replay = self.replay(step, weight)
        assert gradient_of(replay, weight) is None
        (end,) = ends(replay, weight)
        assert end.kind == "Mul"

    def test_jacobians(self):
        import tensorflow as tf

        weight = keras.Variable([1.0, 2.0])
        found = []

        def step():
            with tf.GradientTape() as tape:
                y = weight * [3.0, 4.0]
            found.append(tape.jacobian(y, weight.value).numpy())

        replay = self.replay(step, weight)
        np.testing.assert_allclose(found[0], np.diag([3.0, 4.0]))
        assert len(replay.derivatives) == 1
        assert gradient_of(replay, weight).size == 4

    def test_gradients_are_given_where_they_are_asked_for(self):
        """Inside the tape, weighted, and as zeros where there are none."""
        import tensorflow as tf

        weight, unused = keras.Variable([1.0, 2.0]), keras.Variable(1.0)
        found = []

        def step():
            with tf.GradientTape() as tape:
                y = weight * 3.0
                found.extend(
                    tape.gradient(
                        y,
                        [weight.value, unused.value],
                        output_gradients=tf.constant([1.0, 5.0]),
                        unconnected_gradients="zero",
                    )
                )

        replay = self.replay(step, weight, unused)
        np.testing.assert_allclose(found[0], [3.0, 15.0])
        assert float(found[1]) == 0
        assert gradient_of(replay, weight).size == 15
        assert gradient_of(replay, unused) is None

    def test_a_tape_still_answers_once(self):
        import tensorflow as tf

        weight = keras.Variable(2.0)

        def step():
            with tf.GradientTape() as tape:
                y = weight * 3.0
            tape.gradient(y, weight.value)
            with pytest.raises(RuntimeError, match="non-persistent"):
                tape.gradient(y, y)

        self.replay(step, weight)


def test_a_step_that_needs_a_graph_is_traced():
    import tensorflow as tf

    weight = keras.Variable(2.0)
    x = tf.constant(3.0)

    def step(data):
        with tf.GradientTape() as tape:
            (slope,) = tf.gradients(weight * data**2, data)
            loss = tf.round(slope) * weight
        return tape.gradient(loss, weight.value)

    replay = replay_step(step, (x,), [weight])
    assert gradient_of(replay, weight).size is None
    assert set(replay.data.values()) == {"x"}
    assert any(o.kind == "Round" for o in replay.operations)


def test_the_error_is_that_of_the_step():
    def step():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        replay_step(step, (), [])


def test_nothing_stays_and_no_other_thread_is_seen():
    import tensorflow as tf
    from tensorflow.python.eager import context

    weight, foreign = keras.Variable(2.0), keras.Variable(3.0)
    former = {name: vars(tf.GradientTape)[name] for name in ("gradient",)}
    results = []

    def other():
        with tf.GradientTape() as tape:
            y = foreign * 7.0
        results.append(float(tape.gradient(y, foreign.value)))

    def compute():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return weight * 2.0

    replay = replay_function(compute, [weight, foreign])
    assert results == [7.0]
    assert gradient_of(replay, weight).size == 2
    assert not any(
        id(foreign.value.handle) in o.inputs for o in replay.operations
    )
    assert vars(tf.GradientTape)["gradient"] is former["gradient"]
    assert not context.context().op_callbacks
    assert tf.cond(tf.constant(True), lambda: 1, lambda: 2) == 1


@pytest.mark.parametrize(
    "name",
    [
        "eager.polymorphic_function.concrete_function.ConcreteFunction",
        "ops.custom_gradient._eager_mode_decorator",
        "ops.custom_gradient._graph_mode_decorator",
        "framework.ops._EagerTensorBase",
        "eager.backprop._gradient_function",
        "eager.execute.execute",
    ],
)
def test_a_private_name_that_goes_away(name, monkeypatch):
    """The replay knows less, or is a trace."""
    import importlib

    weight = keras.Variable([0.3, 0.4])

    def compute():
        return ops.sum(ops.round(weight * 2.0))

    module, _, name = name.rpartition(".")
    module = importlib.import_module(f"tensorflow.python.{module}")
    with monkeypatch.context() as patch:
        patch.delattr(module, name)
        replay = replay_function(compute, [weight])
    assert ends(replay, weight)[0].kind == "Round"
