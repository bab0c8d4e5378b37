import inspect
import traceback

import keras
import pytest
from keras import layers

from keras_perceptual.gradients.places import Place
from keras_perceptual.gradients.source_lines import (
    locate_block,
    locate_building,
    locate_choice,
    locate_condition,
    locate_freezing,
    locate_inside,
)


class no_records:
    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return False


def raising():
    raise ValueError


def blocked():
    with no_records():
        raising()  # inside


def beside():
    with no_records():
        pass
    raising()


@pytest.mark.parametrize("function", [blocked, beside])
def test_the_block_that_something_runs_in(function):
    with pytest.raises(ValueError) as caught:
        function()
    frames = traceback.extract_tb(caught.value.__traceback__)[1:]
    place = locate_block(frames, "no_records")
    if function is beside:
        assert place is None
    else:
        assert place.code == "raising()  # inside"


class Freezing(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(1)
        self.second = layers.Dense(1)
        self.third = layers.Dense(1)
        for layer in (self.first, self.second, self.third):
            layer.build((None, 1))

    def train_step(self, data):
        self.first.trainable = False  # the first
        self.second.trainable = False  # the second
        return {}


def test_where_a_step_freezes():
    model = Freezing()
    for layer, comment in (
        (model.first, "# the first"),
        (model.second, "# the second"),
        # Perhaps by another name: the first line is as likely as any.
        (model.third, "# the first"),
    ):
        place = locate_freezing(model, id(layer.kernel))
        assert place.code.endswith(comment)
        assert place.source.endswith(f"test_source_lines.py:{place.line}")
    plain = keras.Sequential([layers.Dense(1)])
    assert locate_freezing(plain, 0) is None


class Adversaries(keras.Model):
    def __init__(self):
        super().__init__()
        self.generator = layers.Dense(1)
        self.critic = layers.Dense(1)
        self.encoder = layers.Dense(1)
        self.turn = 0
        for name in ("generator", "critic", "encoder"):
            layer = getattr(self, name)
            layer.build((None, 1))
            optimizer = keras.optimizers.SGD()
            optimizer.build(layer.trainable_variables)
            setattr(self, f"{name}_optimizer", optimizer)

    def train_step(self, data):
        if data is not None:
            if self.turn % 5 == 0:  # generator
                self.generator_optimizer.apply([])
            elif self.turn:  # critic
                self.train_critic()
        self.encoder_optimizer.apply([])
        self.train_step(data)

    def train_critic(self):
        if self.generator_optimizer.built:
            self.critic.build((None, 1))
        self.critic_optimizer.apply([])


def test_the_condition_around_the_call_of_an_optimizer():
    model = Adversaries()
    for name in ("generator", "critic"):
        optimizer = getattr(model, f"{name}_optimizer")
        place = locate_condition(model, optimizer)
        assert place.code.endswith(f"# {name}")
        assert place.operation == "the condition"
        assert place.within == "train_step"
    assert locate_condition(model, model.encoder_optimizer) is None
    plain = keras.Sequential([layers.Dense(1)])
    assert locate_condition(plain, keras.optimizers.SGD()) is None


class Building(layers.Layer):
    def __init__(self):
        super().__init__()
        self.early = self.add_weight(shape=(1,), name="early")
        self.constant = self.early * 2.0  # in __init__

    def build(self, shape):
        self.kernel = self.add_weight(shape=(1,), name="kernel")
        self.unread = self.add_weight(shape=(1,), name="unread")
        self.doubled = self.kernel * 2.0  # in build


def test_where_a_layer_computes_with_a_variable_before_it_is_called():
    layer = Building()
    layer.build((None, 1))
    for name, method in (("early", "__init__"), ("kernel", "build")):
        place = locate_building(layer, id(getattr(layer, name)))
        assert place.code.endswith(f"# in {method}")
        assert (place.operation, place.within) == (f"self.{name}", method)
    assert locate_building(layer, id(layer.unread)) is None
    assert locate_building(layers.Dense(1), 0) is None


def test_the_line_of_a_layer_that_leads_to_another():
    """What nobody tracks has a line of its own, which is innocent."""
    first = inspect.getsourcelines(Adversaries.train_step)[1]
    frames = [
        traceback.FrameSummary(path, line, "call", lookup_line=False)
        for path, line in (
            (__file__, 1),
            (__file__, first + 1),
            (__file__, 2),
            ("elsewhere.py", first + 1),
        )
    ]
    place = locate_inside(Adversaries(), frames)
    assert (place.line, place.within) == (first + 1, "train_step")
    assert locate_inside(Adversaries(), frames[:1]) is None
    assert locate_inside(None, frames) is None


def asking(tape, model):
    weights = model.trainable_variables
    weights = weights[:1]  # chosen
    tape.gradient(model.loss, weights)  # asked
    tape.gradient(model.loss, model.trainable_variables)


@pytest.mark.parametrize(("above", "expected"), [(3, "# chosen"), (5, None)])
def test_where_variables_are_chosen(above, expected):
    """It may be the line that asks, and is no line of another function."""
    line = inspect.getsourcelines(asking)[1] + above
    place = locate_choice(Place("gradient", file=__file__, line=line))
    assert (place and place.code[-len(expected) :]) == expected
