"""Training with the check is training without it, to the last bit.

Compared is all that a training leaves behind: variables of every kind, the
history, plain attributes of layers, and the random numbers to come.
"""

import itertools
import random
import warnings

import keras
import numpy as np
import pytest
from gradient_models import Closed, nan_loss, regression_data
from keras import layers, ops
from sampling import sample

import keras_perceptual as kp
from keras_perceptual.callbacks import GradientSanityCallback

BACKEND = keras.backend.backend()


class Noting(layers.Layer):
    """Keeps notes in Python of how often it was called."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.count, self.seen, self.table = 0, [], {"last": 0}

    def call(self, x):
        self.count += 1
        self.seen.append(len(self.seen))
        self.table["last"] = self.table["last"] + 1
        return x


class Noise(layers.Layer):
    """Adds random numbers of Keras, and of the backend itself."""

    def __init__(self, own=True, **arguments):
        super().__init__(**arguments)
        self.generator = keras.random.SeedGenerator(5)
        self.own = own

    def call(self, x):
        x = x + keras.random.normal((8,), seed=self.generator)
        return x + draw((8,)) if self.own else x


def draw(shape):
    """Draws random numbers as those do who use no Keras."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.random.normal(shape)
    if BACKEND == "torch":
        import torch

        return torch.randn(shape, device=keras.ops.zeros(1).device)
    return 0.0


def plain_attributes(model):
    return [
        (part.count, list(part.seen), dict(part.table))
        for part in model.layers
        if isinstance(part, Noting)
    ]


def everything(model, history):
    """Returns all that a training has left behind, by name."""
    variables = [
        *model.variables,
        *model.optimizer.variables,
        *model.metrics_variables,
    ]
    found = {
        f"{index} {variable.name}": ops.convert_to_numpy(variable.value)
        for index, variable in enumerate(variables)
    }
    found |= {f"history {k}": v for k, v in history.history.items()}
    if not isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        found["names"] = [variable.path for variable in variables]
    found["attributes"] = plain_attributes(model)
    found["trainable"] = [layer.trainable for layer in model.layers]
    found["python"] = random.random()
    found["numpy"] = np.random.random()  # noqa: NPY002
    found["backend"] = np.array(ops.convert_to_numpy(draw((3,)) + ops.ones(3)))
    found["keras"] = ops.convert_to_numpy(keras.random.normal((3,)))
    return found


def compare(make, policy=None, fits=1, **arguments):
    """Trains models with and without the check, and asserts they are equal.

    Returns:
        The callback.
    """

    def run(check):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(3)
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        callback = GradientSanityCallback(**(policy or {}))
        model = make()
        x, y = regression_data(24)
        settings = {"batch_size": 8, "epochs": 2, "verbose": 0} | arguments
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(fits):
                history = model.fit(
                    x, y, callbacks=[callback] * check, **settings
                )
        return everything(model, history), callback

    for tries_left in (2, 1, 0):
        checked, callback = run(check=True)
        plain, _ = run(check=False)
        try:
            assert_same(checked, plain)
            break
        except AssertionError:
            # Now and then two plain trainings differ, on TensorFlow.
            if not tries_left:
                raise
    return callback


def assert_same(checked, plain):
    assert plain.keys() == checked.keys()
    for name, value in plain.items():
        if isinstance(value, (np.ndarray, float)) or "history" in name:
            np.testing.assert_array_equal(checked[name], value, err_msg=name)
        else:
            assert checked[name] == value, name


def network(*middle, loss="mse", optimizer=None, policy=None, **arguments):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(
                8,
                activation="relu",
                kernel_regularizer="l2",
                dtype=policy,
                name="body",
            ),
            layers.Dropout(0.5),
            layers.BatchNormalization(),
            # Those of XLA have no seed.
            Noise(own=not arguments.get("jit_compile")),
            Noting(),
            *middle,
            layers.Dense(1, bias_regularizer="l1", dtype=policy, name="head"),
        ]
    )
    model.compile(
        optimizer or keras.optimizers.Adam(0.1),
        loss,
        metrics=["mae"],
        **arguments,
    )
    return model


def adam(**arguments):
    return lambda: keras.optimizers.AdamW(0.1, **arguments)


def scaled():
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1))


MODES = {
    "plain": {},
    "eager": {"run_eagerly": True},
    "compiled": {"jit_compile": True},
    "several steps": {"steps_per_execution": 2},
    "accumulation": {"optimizer": adam(gradient_accumulation_steps=2)},
    "clipping, decay and averages": {
        "optimizer": adam(
            clipnorm=0.1,
            weight_decay=0.1,
            use_ema=True,
            ema_overwrite_frequency=2,
        )
    },
    "loss scale": {"optimizer": scaled, "policy": "mixed_float16"},
}
if BACKEND == "torch":  # It has no such mode, or takes long to get there.
    del MODES["compiled"], MODES["several steps"]
if BACKEND == "jax":  # It always compiles.
    del MODES["compiled"]


def make_network(settings, *middle, **arguments):
    settings = dict(settings)
    optimizer = settings.pop("optimizer", lambda: None)()
    return network(*middle, optimizer=optimizer, **settings, **arguments)


@pytest.mark.parametrize("mode", sample(list(MODES), 4))
def test_model_that_is_well(mode):
    # The last batch is smaller, and on its way traced anew.
    size = 10 if mode == "plain" else 8
    callback = compare(lambda: make_network(MODES[mode]), batch_size=size)
    assert {record.status for record in callback.report} == {"ok"}


@pytest.mark.slow
def test_a_balanced_loss_goes_on_as_without_the_check():
    """Steps that are taken once more leave its average as it is."""
    averages = []

    def make():
        loss = kp.WeightedSumLoss(
            {"squares": "mse", "sizes": "mae"}, balance="gradient"
        )
        averages.append(loss.variables[0])
        model = make_network({}, Closed(name="middle"), loss=loss)
        model.compile(
            model.optimizer, loss, metrics=[kp.LossTerms(loss, gradients=True)]
        )
        return model

    callback = compare(make, {"on_zero": "warn"})
    assert callback.report.with_status("zero")
    values = [ops.convert_to_numpy(average) for average in averages]
    assert values[0].any()
    for value in values[1:]:
        np.testing.assert_array_equal(value, values[0])


class Cut(layers.Layer):
    def call(self, x):
        return ops.stop_gradient(x)


class Rounded(layers.Layer):
    def call(self, x):
        return ops.round(x)


BROKEN = {
    "zeros": (Closed, {}, {"on_zero": "warn"}, "zero"),
    "cut": (Cut, {}, {"on_missing": "warn"}, "missing"),
    "rounded": (Rounded, {}, {"on_missing": "warn"}, "missing"),
    "nan": (None, {"loss": nan_loss}, {"on_nonfinite": "warn"}, "nonfinite"),
}


def broken_modes():
    """Each kind of fault, and each way of training with one of them."""
    pairs = [(kind, "plain") for kind in BROKEN]
    pairs += [("zeros", mode) for mode in ("eager", "compiled")]
    return [(kind, mode) for kind, mode in pairs if mode in MODES]


@pytest.mark.parametrize(("kind", "mode"), sample(broken_modes()))
def test_model_that_is_looked_into(kind, mode):
    """The step is taken once more, and leaves nothing behind."""
    layer, arguments, policy, status = BROKEN[kind]

    def make():
        middle = [] if layer is None else [layer(name="middle")]
        return make_network(MODES[mode], *middle, **arguments)

    callback = compare(make, policy)
    assert callback.report.with_status(status)


@pytest.mark.parametrize(
    "mode", sample([m for m in ("plain", "eager", "compiled") if m in MODES])
)
def test_python_of_a_step_runs_as_often_as_without(mode):
    """It is traced once, for the check and for the training.

    That is so in the first fit, in the second, and after `compile`.
    """
    counts = []
    for check in (False, True):
        model = make_network(MODES[mode] | {"optimizer": keras.optimizers.SGD})
        for fit in range(3):
            if fit == 2:
                model.compile("sgd", "mse", **MODES[mode])
            model.fit(
                *regression_data(40),
                batch_size=8,
                verbose=0,
                callbacks=[GradientSanityCallback()] * check,
            )
            counts.append((check, fit, plain_attributes(model)[0][0]))
    plain, checked = counts[:3], counts[3:]
    assert [count for *_, count in checked] == [count for *_, count in plain]
    assert plain[0][-1] > 0


class Turns(keras.Model):
    """Two networks; which one is trained is decided in Python.

    A step that is traced decides it once and for all.
    """

    def __init__(self):
        super().__init__(name="turns")
        self.maker = keras.Sequential(
            [keras.Input((4,)), layers.Dense(4, name="m")], name="maker"
        )
        self.critic = keras.Sequential(
            [keras.Input((4,)), layers.Dense(1, name="c")], name="critic"
        )
        self.turn = 0
        self.noting = Noting()
        self.optimizers = [keras.optimizers.Adam(0.1) for _ in range(2)]
        for optimizer, network in zip(
            self.optimizers, (self.maker, self.critic), strict=True
        ):
            optimizer.build(network.trainable_variables)

    def call(self, x):
        return self.critic(self.maker(x))

    def train_step(self, data):
        x, _ = data
        chosen = self.turn % 2
        self.turn += 1
        self.critic.trainable = bool(chosen)
        network = (self.maker, self.critic)[chosen]
        variables = network.trainable_variables
        gradients, loss = gradients_of(
            lambda: ops.mean(self.critic(self.noting(self.maker(x)))),
            variables,
        )
        self.optimizers[chosen].apply(gradients, variables)
        self.critic.trainable = True
        return {"loss": loss}


def gradients_of(function, variables):
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = function()
        return tape.gradient(loss, [v.value for v in variables]), loss
    import torch

    loss = function()
    return torch.autograd.grad(loss, [v.value for v in variables]), loss


@pytest.mark.skipif(
    BACKEND == "jax", reason="a step on JAX must not change what it closes over"
)
@pytest.mark.parametrize("eagerly", [False, True])
def test_step_that_counts_and_freezes_in_python(eagerly):
    def make():
        model = Turns()
        model.compile(run_eagerly=eagerly)
        return model

    # Each of the networks waits for its turn, or never has one.
    compare(make, {"on_missing": "warn"})


class Adversaries(keras.Model):
    """Two networks with convolutions, each with an optimizer of its own."""

    def __init__(self, in_turn):
        super().__init__()
        self.in_turn = in_turn
        self.maker = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(4, 4, strides=2, padding="same"),
                layers.LeakyReLU(),
                layers.Conv2DTranspose(1, 4, strides=2, padding="same"),
            ]
        )
        self.critic = keras.Sequential(
            [
                keras.Input((8, 8, 2)),
                layers.Conv2D(4, 4, strides=2, padding="same"),
                layers.LeakyReLU(),
                layers.Conv2D(1, 3),
            ]
        )
        self.optimizers = [keras.optimizers.Adam(0.01) for _ in range(2)]
        self.compare = keras.losses.BinaryCrossentropy(from_logits=True)

    def images_of(self, x):
        return ops.tile(ops.reshape(x, (-1, 2, 2, 1)), (1, 4, 4, 1))

    def call(self, x):
        return self.maker(self.images_of(x))

    def judge(self, images, others):
        return self.critic(ops.concatenate([images, others], -1), training=True)

    def maker_loss(self, images, wanted):
        made = self.maker(images, training=True)
        verdicts = self.judge(images, made)
        fooled = self.compare(ops.ones_like(verdicts), verdicts)
        return fooled + 100 * ops.mean(ops.abs(wanted - made))

    def critic_loss(self, images, wanted):
        real = self.judge(images, wanted)
        made = self.judge(images, self.maker(images, training=True))
        return self.compare(ops.ones_like(real), real) + self.compare(
            ops.zeros_like(made), made
        )

    def train_step(self, data):
        images = self.images_of(data[0])
        wanted = ops.flip(images, axis=0)
        parts = [
            (self.maker_loss, self.maker.trainable_variables),
            (self.critic_loss, self.critic.trainable_variables),
        ]
        found = []
        for optimizer, (loss, variables) in zip(
            self.optimizers, parts, strict=True
        ):
            gradients, value = gradients_of(
                lambda loss=loss: loss(images, wanted), variables
            )
            found.append((optimizer, gradients, variables))
            if self.in_turn:
                optimizer.apply(gradients, variables)
        if not self.in_turn:
            for optimizer, gradients, variables in found:
                optimizer.apply(gradients, variables)
        return {"loss": value}


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "jax", reason="has no such step")
@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize(
    "jit_compile", [False, True] if BACKEND == "tensorflow" else [False]
)
def test_two_optimizers_in_one_step(in_turn, jit_compile):
    """What is taken note of for one may not change how the other is run.

    In turn, the first has written before the second has gradients.
    """

    def make():
        model = Adversaries(in_turn)
        model.compile(jit_compile=jit_compile)
        return model

    compare(make)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:GradientSanityCallback")
def test_names_of_the_variables_of_an_optimizer_in_another_one():
    names = []
    for callbacks in ([], [GradientSanityCallback()]):
        keras.utils.clear_session(free_memory=False)
        model = make_network(MODES["loss scale"])
        model.fit(*regression_data(8), verbose=0, callbacks=callbacks)
        names.append([v.path for v in model.optimizer.variables])
    assert names[0] == names[1]


@pytest.mark.slow
@pytest.mark.once
def test_the_comparison_can_fail():
    # The one with the check comes first.
    changes = itertools.cycle([1e-7, 0.0])

    def make():
        model = make_network({})
        model.layers[-1].kernel.assign(model.layers[-1].kernel + next(changes))
        return model

    with pytest.raises(AssertionError):
        compare(make)
