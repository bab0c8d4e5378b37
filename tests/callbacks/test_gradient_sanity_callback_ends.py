"""Trainings that end early, or never begin, leave a model that trains."""

import contextlib
import types
import warnings

import keras
import numpy as np
import pytest
from gradient_models import PATHS, Closed, healthy_model, regression_data
from keras import layers
from sampling import sample

from keras_perceptual.callbacks import GradientSanityCallback

BACKEND = keras.backend.backend()


def fit(model, *callbacks, **arguments):
    arguments = {"batch_size": 8, "verbose": 0, "shuffle": False} | arguments
    return model.fit(*regression_data(), callbacks=list(callbacks), **arguments)


def check_that_nothing_stays(model):
    assert "train_step" not in vars(model)
    assert not {"apply", "stateless_apply"} & set(vars(model.optimizer))
    name = getattr(model.train_function, "__qualname__", "")
    assert "_watched_step" not in name


def check_that_it_trains(model):
    """Without a check, and with one."""
    for callbacks in ([], [GradientSanityCallback()]):
        before = model.get_weights()
        fit(model, *callbacks)
        for former, now in zip(before, model.get_weights(), strict=True):
            assert np.any(former != now)
    (callback,) = callbacks
    found = {record.path: record.status for record in callback.report}
    assert found == dict.fromkeys(PATHS, "ok")
    check_that_nothing_stays(model)


@pytest.mark.parametrize(
    "arguments",
    [{"epochs": 0}, {"initial_epoch": 3, "epochs": 3}],
    ids=["none", "no more"],
)
def test_fit_without_a_step(arguments):
    model, callback = healthy_model(), GradientSanityCallback()
    fit(model, callback, **arguments)
    assert callback.report is None
    check_that_it_trains(model)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_fit_without_data():
    model, callback = healthy_model(), GradientSanityCallback()
    x, y = regression_data(8)
    generator = ((x, y) for _ in range(1))
    model.fit(
        generator,
        verbose=0,
        shuffle=False,
        steps_per_epoch=3,
        callbacks=[callback],
    )
    assert callback.report.batches == 1
    check_that_it_trains(model)


def test_fit_of_fewer_batches_than_are_checked():
    model, callback = healthy_model(), GradientSanityCallback(steps=50)
    fit(model, callback)
    assert callback.report.batches == 4
    check_that_it_trains(model)


class Interrupts(keras.callbacks.Callback):
    """Raises when a method is called for the second time."""

    def __init__(self, name):
        super().__init__()
        self.calls = 0
        setattr(self, name, self.count)

    def count(self, *args, **kwargs):
        self.calls += 1
        if self.calls == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "first"),
    sample(
        [
            (f"on_{what}_{where}", first)
            for first in (False, True)
            for what in ("train_batch", "epoch")
            for where in ("begin", "end")
        ]
    ),
)
def test_interrupted_in_another_callback(name, first):
    model, own = healthy_model(), GradientSanityCallback(steps=9)
    callbacks = [Interrupts(name), own] if first else [own, Interrupts(name)]
    with pytest.raises(KeyboardInterrupt):
        fit(model, *callbacks, epochs=3)
    check_that_it_trains(model)


class Fragile(layers.Layer):
    """Raises from its given call on, where one is given."""

    def __init__(self, error=KeyboardInterrupt, **arguments):
        super().__init__(**arguments)
        # Not put back with the attributes of the layer.
        self.state = types.SimpleNamespace(left=None)
        self.error = error

    def call(self, inputs):
        if self.state.left is not None:
            self.state.left -= 1
            if self.state.left < 0:
                raise self.error
        return inputs


def fragile_model(error, *more, **arguments):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="tanh", name="hidden"),
            Fragile(error, name="fragile"),
            *more,
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile("sgd", "mse", **arguments)
    # Keras calls the layers to build metrics.
    model.test_on_batch(*regression_data(8))
    return model, model.get_layer("fragile").state


@pytest.mark.parametrize("error", sample([KeyboardInterrupt, RuntimeError]))
@pytest.mark.parametrize("step", [0, 1])
def test_interrupted_in_the_step(error, step):
    """In the first one, and in one that is taken when others were."""
    model, state = fragile_model(error, run_eagerly=True)
    state.left = step
    with pytest.raises(error):
        fit(model, GradientSanityCallback())
    state.left = None
    if BACKEND == "jax":
        # There the values of a model are gone, with a check or without.
        check_that_nothing_stays(model)
    else:
        check_that_it_trains(model)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_while_a_step_is_looked_into(error):
    """What it has changed by then is put back as well."""
    trained = []
    for check in (False, True):
        keras.utils.set_random_seed(0)
        model, state = fragile_model(error, Closed())
        callback = GradientSanityCallback(steps=1, on_zero="warn")
        state.left = 1 if check else None  # The step itself.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            interrupted = (
                pytest.raises(KeyboardInterrupt)
                if check and error is KeyboardInterrupt
                else contextlib.nullcontext()
            )
            with interrupted:
                fit(model, *[callback] * check, batch_size=32)
        texts = [str(w.message) for w in caught]
        told = sum("could not look into" in text for text in texts)
        assert told == (check and error is RuntimeError)
        check_that_nothing_stays(model)
        trained.append(model)
    if BACKEND == "jax" and error is KeyboardInterrupt:
        return
    assert [int(model.optimizer.iterations) for model in trained] == [1, 1]
    for one, other in zip(
        *(model.get_weights() for model in trained), strict=True
    ):
        np.testing.assert_array_equal(one, other)
