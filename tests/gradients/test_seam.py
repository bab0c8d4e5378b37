import gc
import weakref

import keras
import pytest
from gradient_models import healthy_model, regression_data
from keras import layers

from keras_perceptual.gradients import snapshots, tracers
from keras_perceptual.gradients.observer import GradientObserver
from keras_perceptual.gradients.replay import Moment
from keras_perceptual.gradients.seam import Seam


class Watcher:
    """Counts the steps that it takes, and has their gradients noted."""

    def __init__(self):
        self.steps = 0
        self.observer = None

    def __call__(self, take_step):
        self.steps += 1
        with self.observer.watch():
            return take_step()


class Counting(layers.Layer):
    """Counts how often its Python code runs."""

    calls = 0

    def call(self, inputs):
        self.calls += 1
        return inputs


def counting_model(**arguments):
    model = keras.Sequential(
        [keras.Input((4,)), Counting(name="counting"), layers.Dense(1)]
    )
    model.compile("sgd", "mse", **arguments)
    # Keras calls the layers to build metrics.
    model.test_on_batch(*regression_data(8))
    model.layers[0].calls = 0
    return model


def watched(model, **arguments):
    watcher = Watcher()
    seam = Seam(model, watcher, **arguments)
    watcher.observer = GradientObserver(model, seam.tracer)
    return watcher, seam


def step(model):
    return model.train_on_batch(*regression_data(8))


def is_armed(model):
    return "_watched_step" in getattr(model.train_function, "__qualname__", "")


def test_one_armed_step_is_watched_and_no_other():
    model = healthy_model()
    watcher, seam = watched(model)
    plain = model.train_function
    seam.arm()
    assert is_armed(model)
    loss = step(model)
    assert model.train_function is plain
    step(model)
    assert watcher.steps == 1
    assert loss > 0


def test_what_stands_in_the_place_is_gone_before_the_step_begins():
    """So that nothing stays where it fails or is interrupted."""
    model = healthy_model()

    def interrupt(take_step):
        assert model.train_function is plain
        raise KeyboardInterrupt

    seam = Seam(model, interrupt)
    plain = model.train_function
    seam.arm()
    with pytest.raises(KeyboardInterrupt):
        step(model)
    assert model.train_function is plain


def test_disarmed():
    model = healthy_model()
    _, seam = watched(model)
    plain = model.train_function
    seam.arm()
    seam.disarm()
    assert model.train_function is plain
    # What somebody else put there is left alone.
    model.train_function = other = lambda iterator: {"loss": 1.0}
    seam.disarm()
    assert model.train_function is other


def test_armed_step_that_another_fit_finds_is_not_watched():
    model = healthy_model()
    watcher, seam = watched(model)
    seam.arm()
    model.fit(*regression_data(8), verbose=0)
    assert watcher.steps == 0
    assert not is_armed(model)


def test_armed_step_that_another_check_finds_is_not_gone_on_with():
    model = healthy_model()
    first, seam = watched(model)
    plain = model.train_function
    seam.arm()
    watched(model)
    assert model.train_function is plain
    step(model)
    assert first.steps == 0


def test_train_function_that_was_traced_stays_that_of_the_model():
    """What was frozen since, without `compile`, trains on in it."""
    model = healthy_model()
    step(model)
    own = model.train_function
    _, seam = watched(model)
    assert model.train_function is own
    seam.arm()
    step(model)
    assert model.train_function is own


def test_what_was_frozen_since_the_train_function_was_made():
    """It trains on there, and not in one that is traced anew."""
    model = healthy_model()
    step(model)
    model.layers[0].trainable = False
    _, seam = watched(model)
    assert [id(v) for v in seam.removed] == list(
        map(id, model.layers[0].weights)
    )
    assert seam.added == []
    for arguments in ({"fresh": True}, {"update": False}):
        _, seam = watched(model, **arguments)
        assert seam.removed == []


def test_what_took_the_place_of_what_was_frozen():
    """The step that is made does not train it."""
    model = healthy_model()
    step(model)
    model.layers[0].enable_lora(1)
    _, seam = watched(model)
    assert [v.name for v in seam.removed] == ["kernel"]
    assert [v.name for v in seam.added] == ["lora_kernel_a", "lora_kernel_b"]


def test_step_that_was_not_traced_yet_is_traced_once_for_both():
    model = counting_model()
    _, seam = watched(model, fresh=True)
    for _ in range(3):
        seam.arm()
        step(model)
    python = keras.backend.backend() == "torch"
    assert model.layers[0].calls == (3 if python else 1)
    step(model)
    assert model.layers[0].calls == (4 if python else 1)
    assert seam.tracer.python_steps == (3 if python else 1)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="nothing is traced there"
)
def test_trace_serves_later_checks_until_the_model_is_compiled_anew():
    model = counting_model()
    _, seam = watched(model, fresh=True)
    seam.arm()
    step(model)
    assert seam.tracer.read()
    _, second = watched(model)
    assert second.tracer is seam.tracer
    second.arm()
    step(model)
    assert model.layers[0].calls == 1
    rows = second.tracer.read()
    kernel = model.layers[1].kernel
    # Of this check alone.
    assert rows[id(kernel)][0] == 1
    model.compile("sgd", "mse")
    _, third = watched(model, fresh=True)
    assert third.tracer is not seam.tracer


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="nothing is traced there"
)
def test_steps_that_train_nothing_have_a_trace_of_their_own():
    model = counting_model()
    _, training = watched(model, fresh=True)
    own = model.train_function
    _, looking = watched(model, update=False, fresh=True)
    assert looking.tracer is not training.tracer
    assert model.train_function is own
    looking.arm()
    step(model)
    assert not training.tracer.read().get(id(model.layers[1].kernel), [0])[0]


def test_train_function_stays_where_another_cannot_be_made(monkeypatch):
    model = healthy_model()
    step(model)
    own = model.train_function

    def fail(*args, **kwargs):
        model.train_function = None
        raise ArithmeticError

    monkeypatch.setattr(
        tracers.load("tracer").Tracer, "make_train_function", fail
    )
    with pytest.raises(ArithmeticError):
        watched(model)
    assert model.train_function is own


def test_what_a_step_begins_with():
    """Attributes are those of before its Python code ran last."""
    model = counting_model()
    _, seam = watched(model, fresh=True)
    before = model.get_weights()[0]
    seam.arm()
    step(model)
    moment = seam.moment
    assert isinstance(moment, Moment)
    counting = model.layers[0]

    def calls(moment):
        return next(
            former["calls"][0]
            for held, _, former in moment.attributes
            if held is vars(counting)
        )

    assert calls(moment) == 0
    kernel = model.layers[1].kernel
    assert (moment.values[id(kernel)] == before).all()
    seam.arm()
    step(model)
    python = keras.backend.backend() == "torch"
    assert calls(seam.moment) == (1 if python else 0)


@pytest.mark.parametrize("name", ["look_again", "_copy_attributes"])
def test_what_goes_wrong_in_looking_on_does_not_reach_the_step(
    name, monkeypatch
):
    model = healthy_model()
    watcher, seam = watched(model, fresh=True)

    def fail(*args):
        raise ArithmeticError

    if name == "look_again":
        monkeypatch.setattr(seam.tracer, name, fail)
    else:
        monkeypatch.setattr(snapshots, "copy_attributes", fail)
    before = model.get_weights()[0]
    seam.arm()
    step(model)
    assert (model.get_weights()[0] != before).any()
    assert watcher.steps == 1


def test_tracers_do_not_keep_models_alive():
    model = healthy_model()
    watcher, seam = watched(model, fresh=True)
    seam.arm()
    step(model)
    gone = weakref.ref(model), weakref.ref(seam.tracer)
    del model, seam, watcher
    keras.utils.clear_session(free_memory=False)
    gc.collect()
    assert [part() for part in gone] == [None, None]
