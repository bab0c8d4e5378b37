"""What the check says of models that are cut in various places."""

import importlib
import inspect
import linecache
import re

import keras
import numpy as np
import pytest
from gradient_models import closed_gate_model, dead_relu_model
from keras import layers, ops

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients import (
    GradientSanityError,
    diagnoses,
    missing,
    zeros,
)
from keras_perceptual.gradients.explain import explain_leaving


def data(samples=8):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(samples, 4)).astype("float32")
    return x, x[:, :1] * 2


def errors_of(model, x=None, y=None, *, batch_size=None, **arguments):
    """Fits a model under the callback and returns the error."""
    features, targets = data()
    with pytest.raises(GradientSanityError) as caught:
        model.fit(
            features if x is None else x,
            targets if y is None else y,
            batch_size=batch_size,
            verbose=0,
            callbacks=[GradientSanityCallback(**arguments)],
        )
    return caught.value


def two_layers(between=None, **head):
    """A hidden layer, another layer if any, and a head."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, name="hidden"),
            *([between] if between is not None else []),
            layers.Dense(1, name="head", **head),
        ],
        name="net",
    )


def assert_marked(place, mark):
    """Asserts that a place is the line of this file with a mark."""
    assert re.search("test_explain.py$", place.file)
    assert linecache.getline(__file__, place.line).rstrip().endswith(mark)
    assert place.code.endswith(mark)


class HardChoice(layers.Layer):
    def call(self, x):
        return ops.one_hot(ops.argmax(x, axis=-1), 4)  # the choice


class Detached(layers.Layer):
    def call(self, x):
        return ops.stop_gradient(x)  # the stop


class Forgetful(layers.Layer):
    """Builds two layers and calls one."""

    def build(self, shape):
        self.used = layers.Dense(4, name="used")
        self.used.build(shape)
        self.forgotten = layers.Dense(4, name="forgotten")
        self.forgotten.build(shape)

    def call(self, x):
        return self.used(x)


@pytest.mark.parametrize(
    ("layer", "function", "mark"),
    [
        (HardChoice, "keras.ops.argmax", "# the choice"),
        (Detached, "keras.ops.stop_gradient", "# the stop"),
    ],
)
def test_operation_in_a_layer(layer, function, mark):
    model = two_layers(layer(name="middle"))
    model.compile("sgd", "mse")
    error = errors_of(model)
    cut = error.report.missing
    assert [r.path for r in cut] == ["net/hidden/kernel", "net/hidden/bias"]
    for record in cut:
        assert record.reason == diagnoses.CUT.title
        place = record.culprit
        assert (place.layer, place.layer_class) == ("middle", layer.__name__)
        assert place.function == function
        assert_marked(place, mark)
        assert record.source == place.source
    first, second, code, *_ = str(error).splitlines()
    assert first.startswith("GradientSanityCallback: 2 of 4 trainable")
    assert second.endswith(f"layer 'middle' ({layer.__name__}), {place.source}")
    assert code.strip().endswith(mark)


def test_operation_in_a_loss():
    def rounded(y_true, y_pred):
        return ops.round(ops.square(y_true - y_pred))  # the rounding

    model = two_layers()
    model.compile("sgd", rounded)
    error = errors_of(model)
    assert len(error.report.missing) == 4
    assert {r.reason for r in error.report} == {diagnoses.CUT.title}
    place = error.report.records[0].culprit
    assert place.function == "keras.ops.round"
    assert place.within == "rounded"
    assert_marked(place, "# the rounding")
    assert "straight-through" in str(error)


def test_softmax_is_not_to_blame():
    def wrong(y_true, y_pred):
        hit = ops.equal(ops.argmax(y_pred, -1), ops.argmax(y_true, -1))
        return 1 - ops.cast(hit, "float32")

    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation="softmax")]
    )
    model.compile("sgd", wrong)
    x, _ = data()
    error = errors_of(model, x, np.eye(3)[np.arange(8) % 3])
    for record in error.report.missing:
        assert [p.function for p in record.culprits] == ["keras.ops.argmax"]


def test_layer_that_is_never_called():
    model = two_layers(Forgetful(name="forgetful"))
    model.compile("sgd", "mse")
    unused = errors_of(model).report.missing
    assert [r.layer for r in unused] == ["forgotten", "forgotten"]
    assert {r.reason for r in unused} == {diagnoses.UNUSED.title}


def test_output_without_a_loss():
    inputs = keras.Input((4,))
    model = keras.Model(
        inputs,
        {
            "main": layers.Dense(1, name="main")(inputs),
            "probe": layers.Dense(1, name="probe")(inputs),
        },
    )
    model.compile("sgd", loss={"main": "mse"})
    x, y = data()
    error = errors_of(model, x, {"main": y, "probe": y})
    assert [r.layer for r in error.report.missing] == ["probe", "probe"]
    assert {r.reason for r in error.report.missing} == {diagnoses.NO_LOSS.title}
    assert "Give that output a loss" in str(error)


def test_loss_that_ignores_the_model():
    def only_targets(y_true, y_pred):
        return ops.mean(ops.square(y_true), axis=-1)

    model = two_layers()
    model.compile("sgd", only_targets)
    error = errors_of(model)
    assert {r.reason for r in error.report.missing} == {
        diagnoses.IGNORES_MODEL.title
    }
    assert "`y_pred`" in str(error)


def test_penalty_hides_a_loss_without_gradient():
    def rounded(y_true, y_pred):
        return ops.round(y_true - y_pred)  # hidden

    model = two_layers(kernel_regularizer="l2", use_bias=False)
    model.layers[0].trainable = False
    model.compile("sgd", rounded)
    error = errors_of(model)
    (record,) = error.report.missing
    assert record.path == "net/head/kernel"
    assert record.reason == diagnoses.PENALTY.title
    assert_marked(record.culprit, "# hidden")


def test_penalty_beside_a_loss_is_well():
    model = two_layers(kernel_regularizer="l2")
    model.compile("sgd", "mse")
    callback = GradientSanityCallback()
    model.fit(*data(), verbose=0, callbacks=[callback])
    assert len(callback.report.ok) == 4


def test_long_story_is_told_once():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            *(layers.Dense(4, name=f"dense_{i}") for i in range(5)),
            Detached(name="middle"),
            layers.Dense(1, name="head"),
        ]
    )
    model.compile("sgd", "mse")
    text = str(errors_of(model))
    assert text.count("# the stop") == 2  # At the top, and where explained.


def test_verdict_stands_where_the_explanation_fails(monkeypatch):
    def fail(*args, **kwargs):
        raise ArithmeticError("out of order")

    monkeypatch.setattr(missing, "find_causes", fail)
    monkeypatch.setattr(zeros, "find_causes", fail)
    model = two_layers(Detached(name="middle"))
    model.compile("sgd", "mse")
    if keras.backend.backend() == "jax":
        # Only an explanation tells zeros that stand for none from others.
        with pytest.warns(UserWarning, match="ArithmeticError: out of order"):
            error = errors_of(model, on_zero="raise")
        assert [r.layer for r in error.report.zero] == ["hidden", "hidden"]
        return
    with pytest.warns(UserWarning, match="ArithmeticError: out of order"):
        error = errors_of(model)
    assert [r.layer for r in error.report.missing] == ["hidden", "hidden"]
    assert {r.reason for r in error.report.missing} == {diagnoses.NONE.title}
    assert "no path from the loss" in str(error)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_nothing_is_left_in_the_model():
    model = two_layers(Detached(name="middle"))
    model.compile("sgd", "mse")
    before = set(vars(model)), set(vars(model.optimizer))
    x, y = data()
    model.fit(
        x,
        y,
        verbose=0,
        epochs=5,
        callbacks=[GradientSanityCallback(on_missing="ignore")],
    )
    assert "train_step" not in vars(model)
    assert "apply" not in vars(model.optimizer)
    assert before[1] - set(vars(model.optimizer)) == set()
    step = inspect.getattr_static(model, "train_step")
    assert inspect.isfunction(step)


def test_layers_of_one_name():
    """Two networks that one function makes: the other one's is not meant."""

    def network(name):
        return keras.Sequential([layers.Dense(4, name="dense")], name=name)

    class Pair(keras.Model):
        def __init__(self):
            super().__init__(name="pair")
            self.used, self.forgotten = network("used"), network("forgotten")

        def build(self, shape):
            self.used.build(shape)
            self.forgotten.build(shape)

        def call(self, inputs):
            return self.used(inputs)

    model = Pair()
    model.compile("sgd", "mse")
    missing = errors_of(model).report.missing
    assert {r.path.split("/")[-3] for r in missing} == {"forgotten"}
    assert {r.reason for r in missing} == {diagnoses.UNUSED.title}


@pytest.mark.tensorflow_only
class TestTensorFlow:
    def test_numpy_function(self):
        import tensorflow as tf

        class Table(layers.Layer):
            def call(self, x):
                y = tf.numpy_function(np.tanh, [x], tf.float32)  # the table
                return tf.ensure_shape(y, x.shape)

            def compute_output_shape(self, shape):
                return shape

        model = two_layers(Table(name="middle"))
        model.compile("sgd", "mse", jit_compile=False)
        error = errors_of(model)
        place = error.report.missing[0].culprit
        assert place.function == "tf.numpy_function"
        assert place.layer == "middle"
        assert_marked(place, "# the table")
        assert "LookupColorLayer" in str(error)

    def test_python_function_whose_gradient_fails(self):
        import tensorflow as tf

        def in_numpy(x):
            return np.tanh(x.numpy())

        class Table(layers.Layer):
            def call(self, x):
                y = tf.py_function(in_numpy, [x], tf.float32)  # here
                return tf.ensure_shape(y, x.shape)

            def compute_output_shape(self, shape):
                return shape

        model = two_layers(Table(name="middle"))
        model.compile("sgd", "mse", jit_compile=False)
        error = errors_of(model)
        assert [r.layer for r in error.report.missing] == ["hidden", "hidden"]
        assert error.report.missing[0].reason == diagnoses.FAILS.title
        assert_marked(error.report.missing[0].culprit, "# here")
        assert "2 of 4 trainable variables cannot learn" in str(error)

    @pytest.mark.parametrize(
        "owner, name",
        [
            (None, "numpy"),
            # They take the memory of a tensor, which no method is asked for.
            (np, "asarray"),
            (np, "array"),
            (ops, "convert_to_numpy"),
        ],
    )
    def test_computation_that_leaves_tensorflow(self, owner, name):
        import tensorflow as tf

        def in_numpy(y_true, y_pred):
            arguments = [y_pred] if owner else []
            read = getattr(owner or y_pred, name)(*arguments)  # numpy
            return tf.constant(np.square(y_true - read))

        model = two_layers()
        model.compile("sgd", in_numpy, run_eagerly=True)
        error = errors_of(model)
        assert {r.reason for r in error.report} == {diagnoses.LEFT.title}
        assert_marked(error.report.records[0].culprit, "# numpy")

    def test_weights_that_are_computed_with_as_arrays(self):
        class Own(layers.Dense):
            def call(self, x):
                kernel, _ = self.get_weights()  # arrays
                return x @ ops.convert_to_tensor(kernel)

        model = two_layers(Own(4, name="middle"))
        model.compile("sgd", "mse", run_eagerly=True)
        missing = errors_of(model).report.missing
        assert missing[0].path.endswith("middle/kernel")
        assert missing[0].reason == diagnoses.LEFT.title
        assert_marked(missing[0].culprit, "# arrays")

    def test_value_read_back_from_a_variable(self):
        class Canvas(layers.Layer):
            def build(self, shape):
                self.canvas = self.add_weight(shape=(8, 4), trainable=False)

            def call(self, x):
                self.canvas.assign(x)  # written
                return ops.convert_to_tensor(self.canvas)

            def compute_output_shape(self, shape):
                return shape

        model = two_layers(Canvas(name="middle"))
        model.compile("sgd", "mse", jit_compile=False)
        error = errors_of(model)
        assert error.report.missing[0].culprit.operation == "AssignVariableOp"
        assert_marked(error.report.missing[0].culprit, "# written")

    def test_custom_gradient_that_returns_nothing(self):
        import tensorflow as tf

        @tf.custom_gradient
        def closed(x):
            return tf.identity(x), lambda upstream: None

        class Closed(layers.Layer):
            def call(self, x):
                return closed(x)  # closed

        model = two_layers(Closed(name="middle"))
        model.compile("sgd", "mse")
        place = errors_of(model).report.missing[0].culprit
        assert place.layer == "middle"
        assert_marked(place, "# closed")

    def test_gradients_that_are_not_applied(self):
        import tensorflow as tf

        class Idle(keras.Sequential):
            def train_step(self, batch):
                x, y = batch
                with tf.GradientTape() as tape:
                    loss = self.compute_loss(x=x, y=y, y_pred=self(x))
                tape.gradient(loss, self.trainable_variables)
                return {"loss": loss}

        model = Idle([keras.Input((4,)), layers.Dense(1, name="head")])
        model.compile("sgd", "mse")
        error = errors_of(model)
        assert {r.reason for r in error.report} == {diagnoses.NOT_APPLIED.title}

    @pytest.mark.parametrize("run_eagerly", [False, True])
    def test_step_that_fails_for_want_of_gradients(self, run_eagerly):
        """It ends before an optimizer is called, and does not say why."""
        import tensorflow as tf

        class Clipping(keras.Sequential):
            def train_step(self, batch):
                x, y = batch
                with tf.GradientTape() as tape:
                    rounded = tf.round(self(x))  # rounded
                    loss = self.compute_loss(x=x, y=y, y_pred=rounded)
                weights = self.trainable_variables
                grads = tape.gradient(loss, weights)
                grads = [tf.clip_by_norm(g, 1.0) for g in grads]
                self.optimizer.apply(grads, weights)
                return {"loss": loss}

        model = Clipping([keras.Input((4,)), layers.Dense(1, name="head")])
        model.compile("sgd", "mse", run_eagerly=run_eagerly)
        error = errors_of(model)
        assert_marked(error.report.missing[0].culprit, "# rounded")

    def test_step_that_fails_for_another_none(self):
        """Where all gradients are there, the error is the user's own."""
        import tensorflow as tf

        class Failing(keras.Sequential):
            def train_step(self, batch):
                with tf.GradientTape() as tape:
                    loss = self.compute_loss(y=batch[1], y_pred=self(batch[0]))
                tape.gradient(loss, self.trainable_variables)
                return None + loss

        model = Failing([keras.Input((4,)), layers.Dense(1, name="head")])
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match="None"):
            model.fit(*data(), callbacks=[GradientSanityCallback()])

    def test_call_that_leaves_one_out_among_others(self):
        """The optimizer that was called last has nothing to do with it."""
        error = errors_of(self.rivals(lambda g: g[:-1]))
        (record,) = error.report.missing
        assert record.path == "first/bias"
        assert_marked(record.culprit, "# of the first")
        assert record.culprit.function == "optimizer.apply"

    def test_line_of_gradients_that_nobody_is_given(self):
        with pytest.warns(UserWarning, match="its optimizer did not run") as w:
            self.rivals(None).fit(
                *data(), verbose=0, callbacks=[GradientSanityCallback()]
            )
        texts = [str(warning.message) for warning in w]
        (text,) = [t for t in texts if t.startswith("GradientSanityCallback")]
        _, second, code, *_ = text.splitlines()
        assert second.startswith("Its optimizer did not run: gradient, ")
        assert code.strip().endswith("# asked")

    @pytest.mark.filterwarnings("ignore:Gradients do not exist")
    def test_expert_that_is_asked_about_alone_and_waits_for_its_turn(self):
        """Another batch may use it, where a step runs as Python."""
        import tensorflow as tf

        class Experts(keras.Model):
            def __init__(self):
                super().__init__()
                self.first, self.second = layers.Dense(1), layers.Dense(1)

            def call(self, x):
                if tf.reduce_mean(x) > 1e3:
                    return self.second(x)
                return self.first(x)

            def train_step(self, batch):
                with tf.GradientTape(persistent=True) as tape:
                    loss = tf.reduce_mean((self(batch[0]) - batch[1]) ** 2)
                weights = [p.trainable_variables for p in self.layers]
                grads = [tape.gradient(loss, each) for each in weights]
                self.optimizer.apply([*grads[0], *grads[1]], self.weights)
                return {"loss": loss}

        model = Experts()
        for part in model.layers:
            part.build((None, 4))
        model.compile("sgd", run_eagerly=True)
        with pytest.warns(UserWarning, match="because of a condition"):
            model.fit(*data(), verbose=0, callbacks=[GradientSanityCallback()])

    def test_line_that_asks_for_others_once_more(self):
        """The optimizer of the others waits, as it may have to."""
        import tensorflow as tf

        class Copied(keras.Model):
            def train_step(self, batch):
                (a, b), x = self.parts, batch[0]
                with tf.GradientTape(persistent=True) as tape:
                    loss = tf.reduce_mean(a(b(x)) ** 2)
                grads = tape.gradient(loss, a.trainable_variables)  # asked
                self.optimizers[0].apply(grads, a.trainable_variables)
                return {"loss": loss}

        model = Copied()
        model.parts = [layers.Dense(4, name=name) for name in "ab"]
        model.optimizers = [keras.optimizers.SGD() for _ in range(2)]
        for part, optimizer in zip(model.parts, model.optimizers, strict=True):
            part.build((None, 4))
            optimizer.build(part.trainable_variables)
        model.compile()
        callback = GradientSanityCallback()
        with pytest.warns(UserWarning, match="its optimizer did not run"):
            model.fit(*data(), verbose=0, callbacks=[callback])
        assert_marked(callback.report.missing[0].culprit, "# asked")

    def rivals(self, keep):
        """Makes two layers with an optimizer each; one may miss something."""
        import tensorflow as tf

        class Rivals(keras.Model):
            def __init__(self):
                super().__init__(name="rivals")
                self.parts = [layers.Dense(1, name=n) for n in ("first", "b")]
                self.optimizers = [keras.optimizers.SGD() for _ in range(2)]

            def train_step(self, batch):
                x, y = batch
                (one, two), (a, b) = self.optimizers, self.parts
                with tf.GradientTape(persistent=True) as tape:
                    losses = [tf.reduce_mean((p(x) - y) ** 2) for p in (a, b)]
                v, w = a.trainable_variables, b.trainable_variables
                g = tape.gradient(losses[0], v)  # asked
                if keep is not None:
                    pairs = zip(keep(g), keep(v), strict=True)
                    one.apply_gradients(pairs)  # of the first
                h = tape.gradient(losses[1], w)
                two.apply_gradients(zip(h, w, strict=True))
                return {"loss": losses[0]}

        model = Rivals()
        for part, optimizer in zip(model.parts, model.optimizers, strict=True):
            part.build((None, 4))
            optimizer.build(part.trainable_variables)
        model.compile()
        return model

    def test_variable_that_the_model_does_not_know(self):
        import tensorflow as tf

        class Gain(layers.Layer):
            def __init__(self, **arguments):
                super().__init__(**arguments)
                self.gain = tf.Variable(tf.ones(4), name="gain")

            def call(self, x):
                return x * self.gain  # gained

        model = two_layers(Gain(name="middle"))
        model.compile("sgd", "mse")
        error = errors_of(model)
        (record,) = error.report.untracked
        assert (record.path, record.shape) == ("gain", (4,))
        assert record.layer == "middle"
        assert_marked(record.culprit, "# gained")
        assert str(error).endswith("Received: untracked=['gain']")
        assert "1 variable is computed with and not trained" in str(error)
        model.fit(
            *data(),
            verbose=0,
            callbacks=[GradientSanityCallback(ignore="gain")],
        )

    def test_variables_that_are_not_meant_to_be_trained(self, recwarn):
        import tensorflow as tf

        class Fixed(layers.Layer):
            def __init__(self, **arguments):
                super().__init__(**arguments)
                self.fixed = tf.Variable(tf.ones(4), trainable=False)
                self.hidden_away = {layers.Dense: [layers.Dense(4)]}
                self.hidden_away[layers.Dense][0].trainable = False

            def call(self, x):
                return x * self.fixed

        judge = keras.Sequential([keras.Input((1,)), layers.Dense(2)])
        judge.trainable = False
        model = two_layers(Fixed(name="middle"))
        model.compile(
            "sgd", lambda y, p: ops.mean(ops.square(judge(y) - judge(p)), -1)
        )
        callback = GradientSanityCallback()
        model.fit(*data(), verbose=0, callbacks=[callback])
        assert not callback.report.untracked
        assert not [w for w in recwarn if "GradientSanity" in str(w.message)]

    def test_network_in_a_loss_is_only_warned_about(self):
        judge = keras.Sequential(
            [keras.Input((1,)), layers.Dense(2, name="judging")]
        )
        model = two_layers()
        model.compile(
            "sgd", lambda y, p: ops.mean(ops.square(judge(y) - judge(p)), -1)
        )
        callback = GradientSanityCallback()
        with pytest.warns(UserWarning, match="trained by nobody"):
            model.fit(*data(), verbose=0, callbacks=[callback])
        assert {r.path.split("/")[-2] for r in callback.report.untracked} == {
            "judging"
        }

    def test_suspects_of_numbers_that_are_not_finite(self):
        def distance(y_true, y_pred):
            return ops.sqrt(ops.mean(ops.square(y_pred), axis=-1))  # the root

        model = two_layers(kernel_initializer="zeros")
        model.compile("sgd", distance)
        error = errors_of(model)
        place = error.report.nonfinite[0].culprit
        assert place.function == "keras.ops.sqrt"
        assert_marked(place, "# the root")
        assert error.report.nonfinite[0].reason == (
            diagnoses.MADE_BACKWARD.title
        )
        assert "inside the root" in str(error)


class TestZeros:
    @pytest.mark.parametrize(
        "jit_compile",
        [
            False,
            pytest.param(
                True,
                marks=pytest.mark.skipif(
                    keras.backend.backend() == "torch",
                    reason="takes long there and is no part of the check",
                ),
            ),
        ],
    )
    def test_layer_that_is_dead_for_good(self, jit_compile):
        error = errors_of(
            dead_relu_model(jit_compile=jit_compile), batch_size=4
        )
        zero = error.report.zero
        assert [r.layer for r in zero] == ["hidden", "hidden", "out"]
        assert zero[0].reason == diagnoses.SATURATED.title
        assert zero[0].culprit.operation.lower() == "relu"
        assert zero[0].culprit.layer == "hidden"
        # The layer after it receives nothing but its zeros.
        assert zero[2].reason == diagnoses.SATURATED.title
        assert zero[2].culprit == zero[0].culprit
        assert "Look at the biases" in str(error)

    def test_mask_that_is_closed_for_now_is_only_warned_about(self):
        model = closed_gate_model()
        callback = GradientSanityCallback()
        with pytest.warns(UserWarning, match="exactly zero"):
            model.fit(*data(), batch_size=2, verbose=0, callbacks=[callback])
        assert {r.reason for r in callback.report.zero} == {""}

    def test_loss_that_has_enough_is_only_warned_about(self):
        x, y = data()
        inputs = keras.Input((4,))
        outputs = {
            name: layers.Dense(1, name=name)(inputs) for name in ("a", "b")
        }
        model = keras.Model(inputs, outputs)

        def hinge(y_true, y_pred):
            return ops.mean(ops.relu(0 * y_true - 100 + y_pred), axis=-1)

        model.compile("sgd", {"a": hinge, "b": "mse"})
        callback = GradientSanityCallback()
        with pytest.warns(UserWarning, match="exactly zero"):
            model.fit(
                x,
                {"a": y, "b": y},
                batch_size=2,
                verbose=0,
                callbacks=[callback],
            )
        assert {r.reason for r in callback.report.zero} == {""}

    def test_sum_of_a_softmax(self):
        model = two_layers(layers.ReLU(name="middle"))
        model.add(layers.Dense(3, activation="softmax", name="soft"))
        model.compile("sgd", lambda y, p: ops.square(1 - ops.sum(p, axis=-1)))
        # Of few images each sum may happen to be rounded to 1.
        error = errors_of(model, *data(96), batch_size=32)
        assert "nothing but zeros and rounding errors" in str(error)
        assert error.report.zero[0].culprit.layer == "soft"

    @pytest.mark.skipif(
        keras.backend.backend() == "torch",
        reason="its rounding errors are those of one large operation",
    )
    def test_normalization_of_one_value(self):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(1, name="one"),
                layers.LayerNormalization(name="norm"),
                layers.Dense(1, name="head"),
            ]
        )
        model.compile("sgd", "mse")
        error = errors_of(model, batch_size=4)
        record = next(r for r in error.report if r.path.endswith("one/kernel"))
        assert record.reason == diagnoses.CANCELS.title
        assert record.culprit.layer == "norm"


def test_step_that_leaves_the_backend_has_the_line_where_it_does():
    backend = keras.backend.backend()
    if backend == "torch":
        pytest.skip("PyTorch runs eagerly: nothing has to be traced.")
    error = None
    try:
        leave_the_backend(backend)
    except Exception as caught:
        error = caught
    causes = explain_leaving(error, [3, 5])
    assert list(causes) == [3, 5]
    assert causes[3].diagnosis is diagnoses.LEFT
    assert causes[3].places[0].code == "np.asarray(x)  # The line."
    assert explain_leaving(ValueError("Another one."), [3, 5]) == {}


def leave_the_backend(backend):
    """Makes a number of Python of what is being traced."""

    def function(x):
        np.asarray(x)  # The line.
        return x

    module = importlib.import_module(backend)
    if backend == "jax":
        module.jit(function)(ops.ones(()))
    else:
        # Keras switches AutoGraph off for its steps, too.
        module.function(function, autograph=False)(ops.ones(()))
