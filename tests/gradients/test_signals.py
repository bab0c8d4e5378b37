"""Outputs of ReLUs and losses are heard, with the names people gave them."""

import keras
import numpy as np
import pytest
from gradient_models import regression_data
from keras import layers, ops

from keras_perceptual.gradients import signals
from keras_perceptual.gradients.signals import DEAD, TERM, Signal, Signals


class Added(layers.Layer):
    """Adds a loss of its own."""

    def call(self, x):
        self.add_loss(ops.sum(x) * 0 + 0.25)
        return x


def two_outputs():
    inputs = keras.Input((4,))
    hidden = layers.Dense(8, "relu", name="hidden")(inputs)
    hidden = Added(name="added")(hidden)
    one, two = (layers.Dense(1, name=n)(hidden) for n in ("one", "two"))
    model = keras.Model(inputs, {"one": one, "two": two})
    same = keras.losses.MeanSquaredError()
    model.compile("sgd", {"one": same, "two": same})
    return model


def heard_of(model, take):
    found = []
    with Signals(model).hearing(found.append):
        take()
    return found


def test_names_of_a_step():
    """One loss for two outputs has the names of both."""
    model = two_outputs()
    x, y = regression_data(8)

    def take():
        predicted = model(x)
        model.compute_loss(x=x, y={"one": y, "two": y + 1}, y_pred=predicted)

    found = heard_of(model, take)
    assert [(s.kind, s.name) for s in found] == [
        (DEAD, "hidden"),
        (TERM, "added"),
        (TERM, "one"),
        (TERM, "two"),
    ]
    assert ops.convert_to_numpy(found[1].tensor) == 0.25
    # Nobody listens any more.
    assert heard_of(model, lambda: None) == []


def test_what_goes_wrong_in_noting_does_not_reach_the_step():
    model = two_outputs()

    def note(signal):
        raise RuntimeError("on purpose")

    with Signals(model).hearing(note):
        assert model(np.ones((2, 4), "float32"))["one"].shape == (2, 1)


@pytest.mark.parametrize(
    "layer, found",
    [
        (layers.Dense(2, "relu"), True),
        (layers.Activation("relu6"), True),
        (layers.ReLU(max_value=1.0), True),
        (layers.ReLU(negative_slope=0.1), False),
        (layers.Dense(2, "gelu"), False),
        (layers.Dropout(0.5), False),
    ],
)
def test_what_can_be_dead(layer, found):
    assert signals.can_be_dead(layer) is found


def test_numbers_of_signals():
    """A unit is dead that is zero for the whole batch, at every place."""
    image = np.zeros((2, 3, 2, 2), "float32")
    image[1, 2, 0, 0] = 5.0
    numbers = signals.measure(
        [
            Signal(DEAD, "last", ops.convert_to_tensor(image), -1),
            Signal(DEAD, "first", ops.convert_to_tensor(image), 1),
            Signal(TERM, "mse", ops.convert_to_tensor([1.0, 3.0])),
        ]
    )
    np.testing.assert_allclose(ops.convert_to_numpy(numbers), [0.5, 2 / 3, 2])


def test_what_is_called_twice():
    heard = Signals(two_outputs())
    heard.keep([Signal(DEAD, "a"), Signal(TERM, "b")], [0.5, 2.0])
    heard.keep([Signal(DEAD, "a"), Signal(TERM, "b")], [1.0, 3.0])
    assert heard.of_kind(DEAD) == {"a": 0.5}
    assert heard.of_kind(TERM) == {"b": 5.0}
    heard.forget()
    assert heard.numbers == {}
