"""Small models whose gradients are known to be fine or known to be not."""

import keras
import numpy as np
from keras import layers, ops


def regression_data(samples=32, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 4)).astype("float32")
    y = x @ rng.normal(size=(4, 1)).astype("float32") + 0.5
    return x, y


def healthy_model(optimizer="sgd", loss="mse", **compile_arguments):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="tanh", name="hidden"),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile(optimizer=optimizer, loss=loss, **compile_arguments)
    return model


PATHS = [
    "net/hidden/kernel",
    "net/hidden/bias",
    "net/out/kernel",
    "net/out/bias",
]


def constant_loss(y_true, y_pred):
    return ops.zeros((1,))


class Detach(layers.Layer):
    def call(self, inputs):
        return ops.stop_gradient(inputs)


def cut_model(hidden_layers=1, **compile_arguments):
    """A model whose hidden layers are cut off from the loss."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            *[
                layers.Dense(4, name=f"hidden_{index}")
                for index in range(hidden_layers)
            ],
            Detach(name="detach"),
            layers.Dense(1, name="out"),
        ],
        name="cut",
    )
    model.compile(optimizer="sgd", loss="mse", **compile_arguments)
    return model


def dead_relu_model(**compile_arguments):
    """A model whose hidden layer never fires: zeros, but not for all."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(
                8,
                activation="relu",
                bias_initializer=keras.initializers.Constant(-50.0),
                name="hidden",
            ),
            layers.Dense(1, name="out"),
        ],
        name="dead",
    )
    model.compile(optimizer="sgd", loss="mse", **compile_arguments)
    return model


@keras.saving.register_keras_serializable("tests")
class Closed(layers.Layer):
    """A gate that large inputs would open."""

    def call(self, x):
        return x * ops.cast(ops.max(x) > 1e9, x.dtype)


def closed_gate_model(**compile_arguments):
    """A model with zeros that another batch could end."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="hidden"),
            Closed(),
            layers.Dense(1, name="out"),
        ],
        name="gated",
    )
    model.compile(optimizer="sgd", loss="mse", **compile_arguments)
    return model


def clipped_model(**compile_arguments):
    """A model whose output is clipped where it starts: zeros everywhere."""
    model = healthy_model(
        loss=lambda y, p: ops.square(y - ops.clip(p - 30.0, 0.0, 1.0)),
        **compile_arguments,
    )
    return model


def nan_loss(y_true, y_pred):
    """The root of zero: finite itself, not so its slope."""
    return ops.sqrt(ops.square(y_pred - ops.stop_gradient(y_pred)))


class Unbuilt(keras.Model):
    """A model that has no variables before its first batch."""

    def __init__(self, cut=False):
        super().__init__(name="late")
        self.hidden = layers.Dense(4, name="hidden")
        self.out = layers.Dense(1, name="out")
        self.cut = cut

    def call(self, inputs):
        hidden = self.hidden(inputs)
        if self.cut:
            hidden = ops.stop_gradient(hidden)
        return self.out(hidden)
