"""Whole programs, one for each kind of fault, and what is said about them.

The line to blame ends in `# to blame`; a program that is well has none.
"""

import linecache
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients import GradientSanityError

BACKEND = keras.backend.backend()
MARK = "# to blame"


def is_marked(place):
    """Whether a place is one of the lines to blame."""
    line = linecache.getline(__file__, place.line)
    return line.rstrip().endswith(MARK)


def train(model, x=None, y=None, **arguments):
    """Fits a model and returns the error, if any, and the callback."""
    if x is None:
        x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    y = x[:, :1] if y is None else y
    callback = GradientSanityCallback(**arguments)
    error = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(x, y, batch_size=8, verbose=0, callbacks=[callback])
        except GradientSanityError as raised:
            error = raised
    return error, callback.report


def stack(*middle, head=None, loss="mse", **arguments):
    """A network with something in the middle."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, name="body"),
            *middle,
            head or layers.Dense(1, name="head"),
        ],
        name="net",
    )
    model.compile(keras.optimizers.SGD(0.01), loss, **arguments)
    return model


class Snapping(layers.Layer):
    def call(self, x):
        steps = ops.round(4 * x)  # to blame
        return steps / 4


def snapping():
    return train(stack(Snapping(name="snap")))


class Picking(layers.Layer):
    def call(self, x):
        return ops.one_hot(ops.argmax(x, -1), 4)  # to blame


def picking():
    return train(stack(Picking(name="pick")))


def counting_loss(y_true, y_pred):
    wrong = ops.abs(y_true - y_pred) > 0.5  # to blame
    return ops.mean(ops.cast(wrong, "float32"), -1)


def counting():
    return train(stack(loss=counting_loss))


class Frozen(layers.Layer):
    def call(self, x):
        return ops.stop_gradient(x) * 2.0  # to blame


def stopping():
    return train(stack(Frozen(name="teacher")))


class Mixing(layers.Layer):
    """Computes once what should be computed in each step."""

    def build(self, shape):
        self.amount = self.add_weight(shape=(4,), name="amount")
        # On PyTorch it can be differentiated, in the first step alone.
        self.shares = ops.softmax(self.amount)  # to blame

    def call(self, x):
        return x * self.shares


def computing_in_build():
    return train(stack(Mixing(name="mix")))


class Looping(layers.Layer):
    def call(self, x):
        def turn(step, value):
            value = ops.tanh(value)
            return value + ops.floor(value)  # beside a way that is open

        def last(step, value):
            return ops.floor(2.0 * value)  # to blame

        return ops.fori_loop(0, 2, last, ops.fori_loop(0, 3, turn, x))


def looping():
    return train(stack(Looping(name="loop")))


class Choosing(layers.Layer):
    def call(self, x):
        return ops.cond(
            ops.max(ops.abs(x)) > 0.0,
            lambda: ops.round(4 * x) / 4,  # to blame
            lambda: ops.zeros_like(x),
        )


def cutting_in_both_branches():
    return train(stack(Choosing(name="choose")))


class Pulling(layers.Layer):
    """Has a loss of its own."""

    def call(self, x):
        self.add_loss(ops.mean(ops.square(x)))
        return x


def careless_loss(y_true, y_pred):
    far = ops.square(ops.cast(y_true, "float32") - 0.5)
    return ops.mean(far, -1)  # to blame


def ignoring_beside_an_added_loss():
    return train(stack(Pulling(name="pull"), loss=careless_loss))


class Likeness(keras.Model):
    """Compares two views, one of them held still, of a code that is zero."""

    def __init__(self):
        super().__init__(name="net")
        self.body = layers.Dense(4, name="body")
        self.mute = Muted(name="mute")
        self.head = layers.Dense(4, name="head")

    def call(self, x):
        code = self.mute(self.body(x))
        held = ops.stop_gradient(code)
        self.add_loss(ops.mean(self.head(code) * held))
        return code


def comparing_with_zero():
    model = Likeness()
    model.compile("sgd")
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    return train(model, x, x)


def no_loss():
    inputs = keras.Input((4,))
    model = keras.Model(
        inputs,
        {n: layers.Dense(1, name=n)(inputs) for n in ("main", "probe")},
        name="net",
    )
    model.compile("sgd", {"main": "mse"})
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    return train(model, x, {"main": x[:, :1], "probe": x[:, :1]})


def ignoring_loss(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_true), -1)


def ignoring():
    return train(stack(loss=ignoring_loss))


def rooted_loss(y_true, y_pred):
    return ops.sqrt(ops.sum(ops.square(y_pred), -1))  # to blame


def root_of_zero():
    head = layers.Dense(1, kernel_initializer="zeros", name="head")
    return train(stack(head=head, loss=rooted_loss))


class Logarithm(layers.Layer):
    def call(self, x):
        return ops.log(ops.abs(x) - ops.abs(x))  # to blame


def logarithm_of_zero():
    return train(stack(Logarithm(name="log")))


def broken_labels():
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    y = x[:, :1].copy()
    y[3] = np.nan
    return train(stack(), x, y)


class Dying(layers.Layer):
    def build(self, shape):
        self.shift = self.add_weight(
            shape=(4,), initializer=keras.initializers.Constant(-50.0)
        )

    def call(self, x):
        return ops.relu(x + self.shift)  # to blame


def dying():
    return train(stack(Dying(name="gate")))


class Weighing(layers.Layer):
    """Weighs the sum of all there is by a share that is always one."""

    def build(self, shape):
        self.scores = self.add_weight(shape=(4, 4), name="scores")

    def call(self, x):
        shares = ops.exp(ops.tanh(self.scores))
        shares = shares / shares  # to blame
        return x @ shares


def weighing():
    return train(stack(Weighing(name="weigh")))


class Forgetting(layers.Layer):
    """Computes something and goes on without it."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(4,), name="scale")

    def call(self, x):
        scaled = x * self.scale  # noqa: F841
        return ops.tanh(x)  # to blame


def forgetting():
    return train(stack(Forgetting(name="forget")))


class Quantizing(layers.Layer):
    """Rounds by a scale that is meant to be kept fixed."""

    def call(self, x):
        scale = ops.stop_gradient(ops.max(ops.abs(x)))
        return ops.round(8 * x / scale) * scale  # to blame


def quantizing():
    return train(stack(Quantizing(name="quantize")))


class Muted(layers.Layer):
    def call(self, x):
        return x * 0.0  # to blame


def muted():
    return train(stack(Muted(name="mute")))


class TurnedDown(layers.Layer):
    """A callback may turn it up."""

    volume = 0.0

    def call(self, x):
        return x * self.volume


def test_an_output_whose_loss_weighs_nothing_is_no_error():
    inputs = keras.Input((4,))
    outputs = {n: layers.Dense(1, name=n)(inputs) for n in ("main", "aid")}
    model = keras.Model(inputs, outputs)
    losses = dict.fromkeys(outputs, "mse")
    model.compile("sgd", losses, loss_weights={"main": 1.0, "aid": 0.0})
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    error, report = train(model, x, dict.fromkeys(outputs, x[:, :1]))
    assert error is None
    assert [r.path for r in report.zero] == ["aid/kernel", "aid/bias"]


def test_a_number_that_may_change_is_no_error():
    """It may where the step runs as Python; a trace keeps what it was."""
    error, report = train(stack(TurnedDown(name="mute")))
    eager, _ = train(stack(TurnedDown(name="mute"), run_eagerly=True))
    is_torch = keras.backend.backend() == "torch"
    assert (error is None) == is_torch
    assert eager is None
    assert [record.path for record in report.zero][:2] == BODY


@ops.custom_gradient
def without_slope(x):
    def gradient(*upstream, **_):
        return ops.zeros_like(x)

    return x * 0.5, gradient


class Flat(layers.Layer):
    def call(self, x):
        return without_slope(x)  # to blame


def test_a_gradient_of_zeros_that_somebody_wrote_is_named():
    """It may be right, as for a window that is closed.

    To JAX, zeros that do not depend on what comes back are no gradient.
    """
    error, report = train(stack(Flat(name="flat")))
    assert (error is None) == (BACKEND != "jax")
    found = report.missing if BACKEND == "jax" else report.zero
    assert [record.path for record in found] == BODY
    assert is_marked(found[0].culprit)


class Seldom(layers.Layer):
    def call(self, x):
        return ops.cond(
            ops.max(x) > -1e6,
            lambda: ops.round(4 * x) / 4,  # to blame
            lambda: x,
        )


def test_a_penalty_does_not_hide_a_cut_in_a_branch():
    model = stack(Seldom(name="seldom"))
    kernel = model.layers[0].kernel
    model.layers[0].kernel_regularizer = None
    kernel.regularizer = keras.regularizers.L2(0.1)
    error, report = train(model)
    assert error is None
    assert [record.path for record in report.zero] == BODY
    for record in report.zero:
        assert is_marked(record.culprit)
        assert ("penalty" in record.note) == (record.path == kernel.path)


class Settings:
    """A plain object, which Keras does not look into."""

    def __init__(self):
        self.gain = keras.Variable(np.ones(4), name="gain")


class Amplifying(layers.Layer):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.settings = Settings()

    def call(self, x):
        return x * self.settings.gain  # to blame


class Adapting(layers.Layer):
    """Adds a product of two weights, neither of which can begin."""

    def build(self, shape):
        self.down = self.add_weight(shape=(4, 2), initializer="zeros")
        self.up = self.add_weight(shape=(2, 4), initializer="zeros")

    def call(self, x):
        return x + ops.matmul(ops.matmul(x, self.down), self.up)  # to blame


def adapting_from_zero():
    return train(stack(Adapting(name="adapt")))


def hidden_variable():
    return train(stack(Amplifying(name="amplifier")))


def penalty_alone():
    model = stack(
        Snapping(name="snap"),
        head=layers.Dense(1, kernel_regularizer="l2", name="head"),
    )
    model.layers[0].kernel_regularizer = None
    model.layers[0].kernel.regularizer = keras.regularizers.L2(0.1)
    return train(model)


class Straight(layers.Layer):
    """Rounds, with the gradient of what is not rounded."""

    def call(self, x):
        return x + ops.stop_gradient(ops.round(x) - x)


def straight_through():
    return train(stack(Straight(name="straight")))


class Residual(layers.Layer):
    """A branch that starts at nothing, as in many residual networks."""

    def build(self, shape):
        self.inner = layers.Dense(4, activation="tanh", name="inner")
        self.inner.build(shape)
        self.scale = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        return x + self.scale * self.inner(x)


def starting_at_zero():
    return train(stack(Residual(name="residual")))


def perceptual_loss():
    """A loss with a network that nobody has thought of freezing."""
    features = layers.Dense(3, name="body_1")

    def distance(y_true, y_pred):
        apart = features(y_true) - features(y_pred)
        return ops.mean(ops.square(apart), -1)

    return distance


def test_a_network_in_a_loss_is_no_error():
    """Its layers may be called as those of the model, but for a number."""
    error, report = train(stack(loss=perceptual_loss()))
    assert error is None
    assert len(report.ok) == 4
    assert {r.layer for r in report.untracked} == {""}


class Distiller(keras.Model):
    """A step that asks a teacher, who is not frozen, and trains a student."""

    def __init__(self):
        super().__init__()
        self.teacher = layers.Dense(1)
        self.student = layers.Dense(1)
        self.teacher.build((None, 4))
        self.student.build((None, 4))

    def call(self, x):
        return self.student(x)

    def train_step(self, data):
        x, _ = data
        weights = self.student.trainable_variables
        if BACKEND == "tensorflow":
            import tensorflow as tf

            wanted = self.teacher(x)
            with tf.GradientTape() as tape:
                loss = ops.mean(ops.square(wanted - self.student(x)))
            gradients = tape.gradient(loss, weights)
        else:
            import torch

            with torch.no_grad():
                wanted = self.teacher(x)
            loss = ops.mean(ops.square(wanted - self.student(x)))
            self.zero_grad()
            loss.backward()
            gradients = [weight.value.grad for weight in weights]
        self.optimizer.apply(gradients, weights)
        return {"loss": loss}


@pytest.mark.skipif(BACKEND == "jax", reason="asks for all gradients")
def test_a_teacher_who_is_not_frozen_is_no_error():
    model = Distiller()
    model.compile("sgd")
    error, report = train(model)
    assert error is None
    assert len(report.ok) == 2
    assert {record.reason for record in report.missing} == {
        "no gradient reaches it, and the step asks for none"
    }


def test_lines_that_create_what_has_none():
    """Layers of a Functional model, optimizers and losses."""
    rounding = layers.Dense(4, ops.round, name="rounding")  # to blame
    error, report = train(stack(rounding))
    (zero, *_) = report.zero or report.missing
    assert is_marked(zero.culprits[0])
    assert "in layer 'rounding' (Dense), created at" in str(error)
    model = stack(layers.Dense(4, name="middle"))
    optimizer = keras.optimizers.SGD(1e30, name="leaping")  # to blame
    model.compile(optimizer, "mse")
    _, report = train(model)
    assert is_marked(report.nonfinite[0].culprits[0])
    unseen = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=-1
    )
    model = stack(head=layers.Dense(3, name="head"), loss=unseen)
    _, report = train(model, y=np.full(24, -1))
    place = report.zero[0].culprits[0]
    assert place.code.startswith("unseen = ")


class Experts(keras.Model):
    """Calls the one or the other layer, as the dice fall."""

    def __init__(self):
        super().__init__()
        self.experts = [layers.Dense(1, name=name) for name in "ab"]
        for expert in self.experts:
            expert.build((None, 4))
        self.dice = np.random.default_rng(1)
        self.chosen = []

    def call(self, x):
        self.chosen += [int(self.dice.random() < 0.5)]
        return sum(
            expert(x)
            for number, expert in enumerate(self.experts)
            if number == self.chosen[-1]
        )


# Keras warns of each batch by itself.
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.skipif(BACKEND == "jax", reason="traces each step")
def test_what_waits_for_its_turn_is_no_error():
    """A step of Python may use in a batch what it has not in another."""
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    runs = []
    for callbacks in ([], [GradientSanityCallback()]):
        keras.utils.set_random_seed(0)
        model = Experts()
        model.compile("sgd", "mse", run_eagerly=True)
        model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=callbacks)
        runs.append((model.chosen, model.get_weights()))
    assert runs[0][0] == runs[1][0]
    assert len(set(runs[0][0])) == 2
    for mine, plain in zip(runs[1][1], runs[0][1], strict=True):
        np.testing.assert_array_equal(mine, plain)
    assert len(callbacks[0].report.ok) == 4


class Counting(layers.Layer):
    """Counts its calls, in what it forgets to say is no weight."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        self.count.assign(ops.stop_gradient(self.count + 1.0))
        return x


@pytest.mark.skipif(BACKEND == "jax", reason="keeps no such counter")
def test_a_state_that_may_be_trained_is_no_error():
    error, report = train(stack(Counting(name="counting")))
    assert error is None
    (record,) = report.missing
    assert "the step writes to it" in record.reason
    assert record.layer == "counting"


def test_a_loss_that_clips_the_ones_of_a_softmax():
    """No gradient comes to the softmax then; TensorFlow is given its logits."""
    head = layers.Dense(1, activation="softmax", name="head")
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    labels = (x[:, :1] > 0).astype("float32")
    model = stack(head=head, loss="binary_crossentropy")
    error, report = train(model, x, labels)
    if BACKEND == "tensorflow":
        assert error is None
        return
    assert "softmax over a single value: keras.ops.softmax" in str(error)
    assert {record.culprit.layer for record in report} == {"head"}


def test_a_batch_normalization_of_single_samples():
    x = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    model = stack(layers.BatchNormalization(name="norm"))
    callback = GradientSanityCallback()
    with pytest.raises(GradientSanityError, match="It cancels out at"):
        model.fit(x, x[:, :1], batch_size=1, verbose=0, callbacks=[callback])
    assert [r.path for r in callback.report.zero][:2] == BODY


BODY = ["net/body/kernel", "net/body/bias"]
HEAD = ["net/head/kernel", "net/head/bias"]


@pytest.mark.parametrize(
    ("program", "status", "paths", "words"),
    [
        (snapping, "missing", BODY, "straight-through"),
        (picking, "missing", BODY, "softmax"),
        (counting, "missing", BODY + HEAD, "keras.ops.sigmoid"),
        (stopping, "missing", BODY, "stop_gradient"),
        (looping, "missing", BODY, "straight-through"),
        (computing_in_build, "missing", ["net/mix/amount"], "to `call`"),
        (cutting_in_both_branches, "missing", BODY, "straight-through"),
        (ignoring_beside_an_added_loss, "missing", HEAD, "`y_pred`"),
        (comparing_with_zero, "zero", HEAD + BODY, "factor"),
        (no_loss, "missing", ["probe/kernel", "probe/bias"], "Give that"),
        (ignoring, "missing", BODY + HEAD, "`y_pred`"),
        (root_of_zero, "nonfinite", BODY + HEAD, "epsilon"),
        (logarithm_of_zero, "nonfinite", BODY + HEAD, "log"),
        (broken_labels, "nonfinite", BODY + HEAD, "'y' of the batch"),
        (dying, "zero", [*BODY, "net/gate/variable"], "leaky"),
        (muted, "zero", BODY, "factor"),
        (weighing, "zero", ["net/weigh/scores"], "cancel"),
        (forgetting, "missing", ["net/forget/scale"], "'scaled' of line"),
        (quantizing, "missing", BODY, "straight-through"),
        (
            adapting_from_zero,
            "zero",
            ["net/adapt/variable", "net/adapt/variable_1"],
            "initialize one of them",
        ),
        (hidden_variable, "untracked", ["gain"], "add_weight"),
        (penalty_alone, "missing", BODY, "penalty"),
        (straight_through, "ok", [], ""),
        (starting_at_zero, "ok", [], ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_verdict(program, status, paths, words):
    error, report = program()
    if status == "ok":
        assert error is None
        assert len(report.ok) == len(report)
        return
    assert error is not None
    assert error.report is report
    found = [record.path for record in report.with_status(status)]
    assert set(paths) <= set(found)
    text = str(error)
    for path in paths:
        assert path in text
    assert words in text
    record = next(r for r in report if r.path == paths[0])
    if program in (no_loss, ignoring, broken_labels):
        # Their fault stands in no line of the step.
        return
    assert is_marked(record.culprit)
    line = linecache.getline(__file__, record.culprit.line).strip()
    first = text.splitlines()[1:3]
    assert record.source in first[0]
    assert first[1].strip() == line
