import keras
import numpy as np
import pytest
from keras import layers

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients.uncalled import find_uncalled

pytestmark = pytest.mark.filterwarnings("ignore:.*unbuilt state")


class Stack(keras.Model):
    """Calls a part of what it has, with nothing built beforehand."""

    def __init__(self, several=False, **arguments):
        super().__init__(**arguments)
        self.stack = [
            # What an activation is called with is built from the beginning.
            keras.Sequential([layers.Dense(4, activation=layers.ReLU())])
            for _ in range(3)
        ]
        self.match = layers.Dense(4)
        self.drop = layers.Dropout(0.5)
        self.wrapped = layers.TimeDistributed(layers.Dense(4))
        self.made = layers.Dense(4)  # made
        self.frozen = layers.Dense(4, trainable=False)
        self.several = several

    def call(self, x):
        if x.shape[-1] != 4:
            x = self.match(x)
        for part in self.stack[: 3 if self.several else 1]:  # named
            x = part(x)
        return self.wrapped(x[:, None])[:, 0]


def test_layers_that_nothing_calls():
    """What is behind a condition may be needed for other shapes."""
    model = Stack()
    model(np.zeros((2, 4)))
    found = {layer: place.code for layer, place in find_uncalled(model)}
    named = "for part in self.stack[: 3 if self.several else 1]:  # named"
    assert found == {
        model.stack[1]: named,
        model.stack[2]: named,
        model.made: "self.made = layers.Dense(4)  # made",
    }
    model = Stack(several=True)
    model(np.zeros((2, 4)))
    assert [layer for layer, _ in find_uncalled(model)] == [model.made]


def test_layers_of_keras_are_no_matter():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    assert find_uncalled(model) == []


@pytest.mark.slow
def test_warning_about_them(recwarn):
    """It is said once, with the name to ignore, and the training goes on."""
    for ignore in ((), "*made*"):
        model = Stack(several=True)
        model.made = layers.Dense(4, name="made")
        model.compile("sgd", "mse", run_eagerly=True)
        check = GradientSanityCallback(ignore=ignore)
        x = np.ones((2, 4), "float32")
        model.fit(x, x, verbose=0, callbacks=[check])
    (text,) = [
        str(warning.message)
        for warning in recwarn
        if "never called" in str(warning.message)
    ]
    assert "'made' (Dense): self.made, " in text
    assert text.endswith("Received: uncalled=['made']")
