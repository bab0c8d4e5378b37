"""Steps of two layers, and what the search for causes says of them."""

import dataclasses

import keras
import numpy as np
from toy_steps import Step

from keras_perceptual.gradients import missing

LAYERS = {
    name: keras.layers.Layer(name=name) for name in ("first", "cut", "last")
}


def causes_of(step, *variables, **arguments):
    replay = step if dataclasses.is_dataclass(step) else step.replay()
    return missing.find_causes(replay, list(variables), LAYERS, **arguments)


def cause_of(step, variable="w", **arguments):
    return causes_of(step, variable, **arguments)[variable]


def places_of(cause):
    return [(place.operation, place.line) for place in cause.places]


class Net(Step):
    """A layer, what is between, and another layer."""

    def __init__(self, between=None, conditional=False):
        super().__init__()
        rng = np.random.default_rng(0)
        self.x = self.data("x", rng.normal(size=(2, 3)))
        self.y = self.data("y", rng.normal(size=(2, 3)))
        self.w = self.variable("w", rng.normal(size=(3, 3)))
        self.v = self.variable("v", rng.normal(size=(3, 3)))
        with self.at("first", line=1):
            self.hidden = self.do("MatMul", self.x, self.w)
        if between is not None:
            with self.at("cut", line=2, conditional=conditional):
                self.hidden = between(self, self.hidden)
        with self.at("last", line=3):
            self.output = self.do("MatMul", self.hidden, self.v)
        self.loss = self.loss_of(self.output)

    def loss_of(self, value, line=4):
        with self.at(line=line):
            error = self.do("Sub", self.y, value)
            return self.do("Mean", self.do("Square", error))

    def ask(self, *variables, target=None):
        self.differentiate(target or self.loss, variables or ("w", "v"))
        return self
