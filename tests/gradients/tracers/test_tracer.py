"""The tracer of the backend that the tests run on, against what is agreed."""

import types

import keras
import numpy as np
import pytest
from gradient_models import healthy_model, regression_data
from keras import layers, ops

from keras_perceptual.gradients import snapshots, tracers
from keras_perceptual.gradients.explain import idle_optimizers
from keras_perceptual.gradients.observer import GradientObserver
from keras_perceptual.gradients.statistics import GradientStatistics

BACKEND = keras.backend.backend()
IS_TORCH = BACKEND == "torch"

# How a step runs. PyTorch takes long to compile, and is not asked to.
MODES = [{}, {"run_eagerly": True}]
if not IS_TORCH:
    MODES += [{"jit_compile": True}, {"jit_compile": False}]


class Taking:
    """Takes steps of a model with its tracer, as the seam does."""

    def __init__(self, model):
        self.model = model
        self.tracer = tracers.load("tracer").Tracer(model)
        self.function = self.tracer.make_train_function()
        self.observer = GradientObserver(model, self.tracer)
        self.moment = None
        self.listens = True

    def step(self, x, y, sample_weight=None):
        self.model.train_function = self._take
        loss = self.model.train_on_batch(x, y, sample_weight)
        self.model.train_function = None
        return loss

    def _take(self, *arguments):
        if not self.listens:
            return self.function(*arguments)
        self.moment, arguments = self.tracer.hold(arguments)
        with self.tracer.listening(), self.observer.watch():
            outputs = self.function(*arguments)
        self.tracer.look_again(self.moment)
        return outputs

    def statistics(self):
        rows = self.tracer.read()
        return [
            GradientStatistics.from_row(rows.get(id(v), np.zeros(6)))
            for v in self.model.trainable_variables
        ]


def linear_model(optimizer=None, **arguments):
    """A model whose gradient is that of a formula, see `gradients_of`."""
    kernel = arguments.pop("kernel_regularizer", None)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(
                1,
                kernel_initializer="ones",
                kernel_regularizer=kernel,
                name="out",
            ),
        ],
        name="net",
    )
    model.compile(optimizer or keras.optimizers.SGD(0.0), "mse", **arguments)
    return model


def gradients_of(x, y, kernel=None):
    """Returns the gradients of the mean squared error of `linear_model`."""
    kernel = np.ones((4, 1)) if kernel is None else kernel
    error = 2 * (x @ kernel - y) / len(x)
    return x.T @ error, error.sum(0)


def norms_of(gradients):
    return [np.linalg.norm(g) for g in gradients]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_statistics_are_those_of_the_gradients(mode):
    taking = Taking(linear_model(**mode))
    x, y = regression_data(8)
    taking.step(x, y)
    expected = norms_of(gradients_of(x, y))
    found = taking.statistics()
    np.testing.assert_allclose([s.norm for s in found], expected, rtol=1e-5)
    assert [s.data_norm for s in found] == [s.norm for s in found]
    assert {(s.calls, s.nonzero, s.nonfinite) for s in found} == {(1, 1, 0)}
    # Of several steps the largest, whatever their order.
    for factor in (3.0, 1.0):
        taking.step(factor * x, factor * y)
    found = taking.statistics()
    expected = norms_of(gradients_of(3 * x, 3 * y))
    np.testing.assert_allclose([s.norm for s in found], expected, rtol=1e-5)
    assert [s.calls for s in found] == [3, 3]
    assert taking.observer.trouble is None


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_what_a_penalty_adds_is_told_apart(mode):
    x, y = regression_data(8)
    taking = Taking(
        linear_model(kernel_regularizer=keras.regularizers.L2(0.5), **mode)
    )
    taking.step(x, y)
    kernel, _ = gradients_of(x, y)
    found = taking.statistics()
    np.testing.assert_allclose(
        [found[0].norm, found[0].data_norm],
        norms_of([kernel + 1.0, kernel]),
        rtol=1e-5,
    )
    assert found[1].norm == found[1].data_norm


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_what_a_penalty_alone_moves(mode):
    taking = Taking(
        linear_model(
            kernel_regularizer="l2",
            **mode,
        )
    )
    x, y = regression_data(8)
    taking.step(x, y, np.zeros(8))
    kernel, bias = taking.statistics()
    assert kernel.only_penalized
    assert (bias.norm, bias.nonzero) == (0.0, 0)


def test_norms_are_without_the_loss_scale():
    x, y = regression_data(8)
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.0), initial_scale=64.0
    )
    taking = Taking(linear_model(optimizer))
    taking.step(x, y)
    np.testing.assert_allclose(
        [s.norm for s in taking.statistics()],
        norms_of(gradients_of(x, y)),
        rtol=1e-5,
    )
    taking.step(np.full_like(x, 1e38), y)
    found = taking.statistics()
    assert [(s.calls, s.overflowed) for s in found] == [(2, 1), (2, 1)]


def test_gradients_of_a_part_of_a_table():
    """TensorFlow has those of the rows that were looked up alone."""
    model = keras.Sequential(
        [
            keras.Input((2,), dtype="int32"),
            layers.Embedding(
                9,
                3,
                embeddings_initializer="ones",
                embeddings_regularizer="l2",
                name="table",
            ),
            layers.Flatten(),
            layers.Dense(1, kernel_initializer="ones"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse")
    taking = Taking(model)
    x = np.array([[0, 1], [2, 3]])
    taking.step(x, np.zeros((2, 1)))
    table = taking.statistics()[0]
    # Twelve numbers of which each has a share of 6, beside the penalty.
    assert table.data_norm == pytest.approx(6 * 12**0.5, rel=0.02)
    assert table.nonfinite == 0


def test_numbers_that_are_not_finite():
    x, y = regression_data(8)
    taking = Taking(linear_model())
    x[3] = np.nan
    taking.step(x, y)
    found = taking.statistics()
    assert {(s.nonfinite, s.norm, s.finite_norm) for s in found} == {
        (1, 0.0, None)
    }


def test_steps_nobody_listens_to_leave_no_numbers():
    """Although the trace is the same."""
    x, y = regression_data(8)
    taking = Taking(linear_model())
    taking.step(x, y)
    taking.listens = False
    taking.step(3 * x, 3 * y)
    assert [s.calls for s in taking.statistics()] == [1, 1]
    taking.listens = True
    taking.step(x, y)
    assert [s.calls for s in taking.statistics()] == [2, 2]
    if not IS_TORCH:
        assert taking.tracer.python_steps == 1
    assert "train_step" not in vars(taking.model)


def test_numbers_of_an_earlier_training_are_forgotten():
    x, y = regression_data(8)
    taking = Taking(linear_model())
    taking.step(3 * x, 3 * y)
    taking.tracer.start_anew()
    assert {s.calls for s in taking.statistics()} == {0}
    taking.step(x, y)
    np.testing.assert_allclose(
        [s.norm for s in taking.statistics()],
        norms_of(gradients_of(x, y)),
        rtol=1e-5,
    )


def test_batches_of_several_sizes():
    x, y = regression_data(8)
    taking = Taking(linear_model())
    for samples in (8, 4, 8):
        taking.step(x[:samples], y[:samples])
    assert [s.calls for s in taking.statistics()] == [3, 3]


@pytest.mark.skipif(IS_TORCH, reason="has one step an execution")
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_several_steps_an_execution(mode):
    x, y = regression_data(24)
    model = linear_model(steps_per_execution=2, **mode)
    taking = Taking(model)

    class Arm(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.train_function = taking._take

    model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[Arm()])
    found = taking.statistics()
    # Beside a traced step on TensorFlow, the first one is computed alone.
    every = 1 + (BACKEND == "tensorflow" and not model.run_eagerly)
    assert [s.calls for s in found] == [6 // every] * 2
    batches = [(x[i : i + 4], y[i : i + 4]) for i in range(0, 24, 4 * every)]
    expected = np.max([norms_of(gradients_of(*b)) for b in batches], axis=0)
    np.testing.assert_allclose([s.norm for s in found], expected, rtol=1e-5)


class TestHold:
    """What a step begins with, taken from it and given back."""

    def test_the_step_is_that_of_the_batch(self):
        x, y = regression_data(8)
        losses = []
        for held in (False, True):
            taking = Taking(linear_model())
            taking.listens = held
            losses.append(taking.step(x, y, np.linspace(0, 1, 8)))
        assert losses[0] == losses[1]
        batch = keras.tree.map_structure(
            lambda part: part if part is None else np.array(part),
            taking.moment.batch,
        )
        np.testing.assert_array_equal(batch[0], x)
        np.testing.assert_array_equal(batch[1], y)
        np.testing.assert_allclose(batch[2], np.linspace(0, 1, 8))

    def test_values_of_before_the_step(self):
        model = linear_model(keras.optimizers.SGD(0.1))
        taking = Taking(model)
        former = model.get_weights()[0]
        taking.step(*regression_data(8))
        assert np.any(model.get_weights()[0] != former)
        kernel = model.trainable_variables[0]
        np.testing.assert_array_equal(taking.moment.values[id(kernel)], former)

    def test_values_that_are_too_many(self, monkeypatch):
        monkeypatch.setattr(snapshots, "MOST_BYTES", 8)
        taking = Taking(linear_model())
        taking.step(*regression_data(8))
        assert taking.moment.values is None
        assert taking.moment.state is None
        assert [s.calls for s in taking.statistics()] == [1, 1]

    @pytest.mark.filterwarnings("ignore:Your input ran out of data")
    def test_data_that_end(self):
        """The trainer sees that there are no more, as ever."""
        model = linear_model()
        taking = Taking(model)
        taken = []

        def batches():
            for seed in range(3):
                taken.append(seed)
                yield regression_data(8, seed=seed)

        class Arm(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                self.model.train_function = taking._take

        model.fit(batches(), shuffle=False, verbose=0, callbacks=[Arm()])
        assert taken == [0, 1, 2]
        assert [s.calls for s in taking.statistics()] == [3, 3]

    def test_nested_data(self):
        inputs = {n: keras.Input((2,), name=n) for n in ("a", "b")}
        model = keras.Model(
            inputs,
            layers.Dense(1)(layers.Concatenate()(list(inputs.values()))),
        )
        model.compile("sgd", "mse")
        taking = Taking(model)
        x, y = regression_data(8)
        taking.step({"a": x[:, :2], "b": x[:, 2:]}, y)
        assert sorted(taking.moment.batch[0]) == ["a", "b"]
        assert [s.calls for s in taking.statistics()] == [1, 1]


class Box:
    """No part of Keras."""


class Hiding(layers.Layer):
    """Computes with a variable that Keras does not find."""

    def __init__(self, trainable=True, **arguments):
        super().__init__(**arguments)
        self.box = Box()
        self.box.gain = keras.Variable(
            np.ones(4), trainable=trainable, name="gain"
        )

    def call(self, inputs):
        return inputs * self.box.gain


@pytest.mark.parametrize("trainable", [True, False])
def test_variables_the_model_does_not_know_of(trainable):
    hiding = Hiding(trainable)
    model = keras.Sequential([keras.Input((4,)), hiding, layers.Dense(1)])
    model.compile("sgd", "mse")
    taking = Taking(model)
    taking.step(*regression_data(8))
    known = [*model.variables, *model.optimizer.variables]
    found = taking.tracer.find_untracked(known)
    assert [id(v) for v in found] == [id(hiding.box.gain)] * trainable
    assert taking.tracer.find_untracked([*known, hiding.box.gain]) == []
    # What was traced is not read again.
    if taking.tracer.is_traced_once:
        taking.tracer.start_anew()
        assert taking.tracer.find_untracked(known) == found


class Drawing(layers.Layer):
    """Draws random numbers of every kind there is, and counts."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.generator = keras.random.SeedGenerator(1)
        self.total = self.add_weight(
            shape=(), initializer="zeros", trainable=False
        )
        self.count = 0

    def call(self, inputs):
        self.count += 1
        self.total.assign(self.total + 1.0)
        return inputs + keras.random.normal((4,), seed=self.generator)


def state_of(model):
    variables = [
        *model.variables,
        *model.optimizer.variables,
        *model.metrics_variables,
    ]
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


class TestReplay:
    def taken(self, **arguments):
        model = keras.Sequential(
            [keras.Input((4,)), Drawing(), layers.Dense(1, name="out")]
        )
        model.compile("adam", "mse", metrics=["mae"], **arguments)
        taking = Taking(model)
        taking.step(*regression_data(8))
        return taking

    def replay(self, taking):
        model = taking.model
        with idle_optimizers(model):
            return taking.tracer.replay(
                taking.moment, model.trainable_variables, []
            )

    def test_it_is_of_the_values_the_step_began_with(self):
        taking = self.taken()
        kernel = taking.model.layers[1].kernel
        replay = self.replay(taking)
        sizes = {
            replay.values[key].size
            for key, holder in replay.holders.items()
            if holder == id(kernel) and key in replay.values
        }
        before = np.abs(taking.moment.values[id(kernel)]).max()
        np.testing.assert_allclose(list(sizes), [before], rtol=1e-6)

    def test_it_leaves_everything_as_it_was(self):
        taking = self.taken()
        model, drawing = taking.model, taking.model.layers[0]
        before, count = state_of(model), drawing.count
        random = np.random.get_state()[1].copy()  # noqa: NPY002
        replay = self.replay(taking)
        assert replay.operations
        for former, now in zip(before, state_of(model), strict=True):
            np.testing.assert_array_equal(now, former)
        assert drawing.count == count
        np.testing.assert_array_equal(
            np.random.get_state()[1],  # noqa: NPY002
            random,
        )

    def test_attributes_are_those_of_before_the_step(self):
        taking = self.taken()
        model, drawing = taking.model, taking.model.layers[0]
        seen = []
        drawing.call = lambda inputs: (seen.append(drawing.word), inputs)[1]
        drawing.word = "before"
        taking.moment.attributes = snapshots.copy_attributes(model)
        drawing.word = "after"
        self.replay(taking)
        assert set(seen) == {"before"}
        assert drawing.word == "after"

    @pytest.mark.skipif(
        BACKEND == "tensorflow", reason="the step is traced without a batch"
    )
    def test_without_a_batch(self):
        taking = self.taken()
        taking.moment.batch = None
        with pytest.raises(ValueError, match=r"not kept\. Received: model='s"):
            self.replay(taking)

    @pytest.mark.tensorflow_only
    def test_graph_without_a_batch(self):
        """What a graph shows without numbers."""
        taking = self.taken()
        taking.moment.batch = None
        variables = taking.model.trainable_variables
        replay = self.replay(taking)
        assert {id(v) for v in variables} <= set(replay.holders.values())
        (derivative,) = replay.derivatives
        assert {id(v) for v in variables} == derivative.variables


class TestFunctions:
    def test_gradients_of_a_function(self):
        used, unused = keras.Variable(3.0), keras.Variable(1.0)
        found = tracers.load("tracer").compute_gradients(
            lambda: ops.square(used), [used, unused]
        )
        assert float(ops.convert_to_numpy(found[0])) == 6.0
        assert found[1] is None or float(found[1]) == 0.0

    def test_gradients_of_a_constant(self):
        variable = keras.Variable(3.0)
        (found,) = tracers.load("tracer").compute_gradients(
            lambda: ops.convert_to_tensor(1.0), [variable]
        )
        assert found is None or float(found) == 0.0

    def test_names(self):
        variable = keras.Variable(1.0, name="gain")
        assert tracers.load("tracer").name_of(variable) == variable.path

    @pytest.mark.tensorflow_only
    def test_names_of_native_variables(self):
        import tensorflow as tf

        variable = tf.Variable(1.0, name="gain")
        assert variable.name == "gain:0"
        assert tracers.load("tracer").name_of(variable) == "gain"

    def test_public_functions_are_modules_by_name(self):
        for name, module in tracers.load("tracer").public_functions():
            assert isinstance(module, types.ModuleType)
            assert module.__name__.rpartition(".")[2] in (
                "jax", "torch", "numpy", "nn", "lax", "image", "math",
                "linalg", "v2", "tensorflow", name.rpartition(".")[2],
            )  # fmt: skip

    def test_errors_of_nobody(self):
        module, error = tracers.load("tracer"), ValueError("no")
        assert not module.says_nothing_is_connected(error)
        assert not module.says_it_left(error)
        assert not module.says_gradient_failed(error)

    @pytest.mark.skipif(not IS_TORCH, reason="PyTorch alone refuses")
    def test_loss_that_is_connected_to_nothing(self):
        import torch

        with pytest.raises(RuntimeError) as caught:
            torch.tensor(1.0).backward()
        assert tracers.load("tracer").says_nothing_is_connected(caught.value)

    @pytest.mark.skipif(IS_TORCH, reason="leaving is no error there")
    def test_step_that_leaves_the_backend(self):
        if BACKEND == "jax":
            import jax

            trace = jax.make_jaxpr(lambda x: np.array(x))
        else:
            import tensorflow as tf

            trace = tf.function(lambda x: x.numpy(), autograph=False)
        with pytest.raises(Exception) as caught:
            trace(ops.ones((2,)))
        assert tracers.load("tracer").says_it_left(caught.value)


def test_steps_of_flax_modules_are_not_watched(monkeypatch):
    if BACKEND != "jax":
        pytest.skip("is about JAX alone")
    monkeypatch.setattr(keras.config, "is_nnx_enabled", lambda: True)
    tracer = tracers.load("tracer").Tracer(healthy_model())
    with pytest.raises(NotImplementedError, match="Received: nnx_enabled"):
        tracer.make_train_function()


@pytest.mark.skipif(BACKEND != "jax", reason="is about JAX alone")
def test_batches_that_keras_hands_over_as_one():
    """As of Keras 3.16: stacked, or in a list of its own where too few."""

    class Partial(list):
        pass

    tracer = tracers.load("tracer")
    x, y = np.arange(12.0).reshape(2, 3, 2), np.arange(6.0).reshape(2, 3)
    # What PyTorch's loaders make of pairs is a plain list.
    for kind in (tuple, list):
        stacked = kind((x, y))
        pairs = tracer._unstacked(stacked)
        assert len(pairs) == 2
        for index, pair in enumerate(pairs):
            assert type(pair) is kind
            np.testing.assert_array_equal(pair[0], x[index])
            np.testing.assert_array_equal(pair[1], y[index])
        np.testing.assert_array_equal(tracer._first_of(stacked)[1], y[0])
    apart = Partial([(x[0], y[0])])
    assert tracer._unstacked(apart) == [apart[0]]
    assert tracer._first_of(apart) is apart[0]
