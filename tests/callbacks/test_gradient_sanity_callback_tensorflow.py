"""The gradient check in the ways of training that only TensorFlow has."""

import keras
import numpy as np
import pytest
from gradient_models import (
    cut_model,
    healthy_model,
    nan_loss,
    regression_data,
)
from keras import layers, ops

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients import GradientSanityError, tracers

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def tf():
    import tensorflow

    return tensorflow


def fit(model, callback, data=None, **arguments):
    x, y = data or regression_data()
    arguments = {"batch_size": 8, "verbose": 0, "shuffle": False, **arguments}
    return model.fit(x, y, callbacks=[callback], **arguments)


@pytest.mark.slow
def test_compiled_by_xla():
    callback = GradientSanityCallback()
    fit(healthy_model(jit_compile=True), callback)
    assert len(callback.report.ok) == 4
    with pytest.raises(GradientSanityError, match="cut/hidden_0/kernel"):
        fit(cut_model(jit_compile=True), GradientSanityCallback())
    with pytest.raises(GradientSanityError, match="NaN or infinity"):
        fit(
            healthy_model(loss=nan_loss, jit_compile=True),
            GradientSanityCallback(),
        )


@pytest.fixture
def measured(monkeypatch):
    """How many batches are computed beside the step."""
    tracer = tracers.load("tracer").Tracer
    measure, found = tracer._measure, []

    def note(self, batch):
        found.append(batch)
        return measure(self, batch)

    monkeypatch.setattr(tracer, "_measure", note)
    return found


@pytest.mark.parametrize("jit_compile", [False, True])
def test_once_all_is_well_nothing_is_computed_twice(measured, jit_compile):
    callback = GradientSanityCallback()
    fit(healthy_model(jit_compile=jit_compile), callback)
    assert len(callback.report.ok) == 4
    assert callback.report.batches == 3
    assert len(measured) == 1


def test_values_that_are_clipped_are_looked_at(measured):
    """What clips infinity leaves no trace of it in the weights."""
    clipping = keras.optimizers.SGD(clipvalue=1.0)
    fit(healthy_model(clipping, jit_compile=False), GradientSanityCallback())
    assert len(measured) == 3


def test_not_a_number_in_a_later_batch(measured):
    x, y = regression_data()
    x[17] = np.nan
    model = healthy_model(jit_compile=False)
    with pytest.raises(GradientSanityError, match="NaN or infinity"):
        fit(model, GradientSanityCallback(), (x, y))
    assert len(measured) == 2


@pytest.mark.slow
def test_not_a_number_that_only_xla_produces():
    """The kernels of TensorFlow give 0 here, those of XLA NaN."""

    def loss(y_true, y_pred):
        x = y_pred - ops.stop_gradient(y_pred)
        rooted = ops.where(x > 0, ops.sqrt(x), ops.zeros_like(x))
        return ops.square(y_true - y_pred) + rooted

    callback = GradientSanityCallback()
    fit(healthy_model(loss=loss, jit_compile=False), callback)
    assert len(callback.report.ok) == 4
    with pytest.raises(GradientSanityError, match="NaN or infinity"):
        fit(healthy_model(loss=loss, jit_compile=True), callback)


def custom_model(tf, choose, apply):
    """A model with a `train_step` of its own."""

    class Custom(keras.Sequential):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x))
            variables = choose(self)
            apply(self.optimizer, tape.gradient(loss, variables), variables)
            return {"loss": loss}

    model = Custom(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="tanh", name="hidden"),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile("adam", "mse")
    return model


def apply_pairs(optimizer, gradients, variables):
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def apply_lists(optimizer, gradients, variables):
    optimizer.apply(gradients, variables)


def apply_without_variables(optimizer, gradients, variables):
    optimizer.build(variables)
    optimizer.apply(gradients)


@pytest.mark.parametrize(
    "apply", [apply_pairs, apply_lists, apply_without_variables]
)
def test_custom_train_step(tf, apply):
    callback = GradientSanityCallback()
    fit(custom_model(tf, lambda m: m.trainable_variables, apply), callback)
    assert len(callback.report.ok) == 4


def test_native_variables_are_those_of_the_model(tf):
    def native(model):
        return [v.value for v in model.trainable_variables]

    callback = GradientSanityCallback()
    fit(custom_model(tf, native, apply_pairs), callback)
    assert len(callback.report.ok) == 4


def test_train_step_that_forgets_variables(tf):
    model = custom_model(
        tf, lambda m: m.layers[-1].trainable_variables, apply_pairs
    )
    callback = GradientSanityCallback()
    with pytest.raises(
        GradientSanityError,
        match=r"(?s)asks for no gradient of it.*net/hidden/kernel.*"
        r"net/hidden/bias.*Received: missing=2$",
    ):
        fit(model, callback)
    assert len(callback.report.ok) == 2


def test_train_step_that_never_applies(tf):
    model = custom_model(
        tf, lambda m: m.trainable_variables, lambda *arguments: None
    )
    with pytest.raises(GradientSanityError, match="computed but never applied"):
        fit(model, GradientSanityCallback())


def test_variables_trained_without_an_optimizer_are_accepted(tf):
    def assign(optimizer, gradients, variables):
        for gradient, variable in zip(gradients, variables, strict=True):
            variable.assign_sub(0.01 * gradient)

    callback = GradientSanityCallback()
    fit(custom_model(tf, lambda m: m.trainable_variables, assign), callback)
    assert len(callback.report.ok) == 4
    assert callback.report["net/out/bias"].norm is None


class Adversaries(keras.Model):
    """Two networks with an optimizer each; one takes its turn less often."""

    def __init__(self, tf, every=1):
        super().__init__(name="gan")
        self.tf, self.every, self.count = tf, every, 0
        self.critic = keras.Sequential(
            [keras.Input((4,)), layers.Dense(1, name="c")], name="critic"
        )
        self.maker = keras.Sequential(
            [keras.Input((4,)), layers.Dense(4, name="m")], name="maker"
        )

    def compile(self, **arguments):
        super().compile(**arguments)
        self.optimizers = {
            "critic": keras.optimizers.Adam(),
            "maker": keras.optimizers.Adam(),
        }

    def improve(self, name, loss):
        variables = getattr(self, name).trainable_variables
        with self.tf.GradientTape() as tape:
            value = loss()
        self.optimizers[name].apply_gradients(
            zip(tape.gradient(value, variables), variables, strict=True)
        )
        return value

    def train_step(self, data):
        x, _ = data
        critic, maker = self.critic, self.maker
        self.count += 1
        logs = {
            "critic": self.improve(
                "critic",
                lambda: ops.mean(critic(x) ** 2 - critic(maker(x))),
            )
        }
        if self.count % self.every == 0:
            self.improve("maker", lambda: ops.mean(critic(maker(x))))
        return logs


def test_two_optimizers(tf):
    model = Adversaries(tf)
    model.compile()
    callback = GradientSanityCallback()
    fit(model, callback)
    assert len(callback.report.ok) == 4
    for optimizer in model.optimizers.values():
        assert "apply" not in vars(optimizer)


def test_network_that_takes_its_turn_within_the_checked_batches(tf):
    model = Adversaries(tf, every=3)
    model.compile(run_eagerly=True)
    callback = GradientSanityCallback()
    fit(model, callback)
    assert len(callback.report.ok) == 4


def test_network_that_takes_its_turn_later_is_no_error(tf):
    model = Adversaries(tf, every=10)
    model.compile(run_eagerly=True)
    callback = GradientSanityCallback()
    with pytest.warns(UserWarning, match="its optimizer did not run"):
        fit(model, callback)
    missing = [record.path for record in callback.report.missing]
    assert missing == ["maker/m/kernel", "maker/m/bias"]


def test_datasets_are_not_read_ahead(tf):
    x, y = regression_data()
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8).repeat()
    model = healthy_model()
    callback = GradientSanityCallback()
    model.fit(
        data, steps_per_epoch=5, verbose=0, shuffle=False, callbacks=[callback]
    )
    assert int(model.optimizer.iterations) == 5
    assert len(callback.report.ok) == 4


def test_batches_of_different_sizes(tf):
    callback = GradientSanityCallback(steps=5)
    fit(healthy_model(), callback, data=regression_data(20), epochs=3)
    assert len(callback.report.ok) == 4
