"""Five mistakes that keep a network from learning, and what is said of them.

Each of them has cost people days: Keras answers with a list of variables or,
mostly, with nothing at all. `GradientSanityCallback` names the operation, the
layer and the line. Takes a few seconds, on any backend:

    pip install -e ".[examples]"
    python examples/gradient_mistakes.py
"""

import keras
import numpy as np
from keras import layers, ops

import keras_perceptual as kp


def make_data():
    """Returns features, and which of three classes they belong to."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 8)).astype("float32")
    return x, np.eye(3, dtype="float32")[x[:, :3].argmax(1)]


def classifier(*between):
    """Returns a small network with layers between its two halves."""
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(8, activation="tanh", name="encoder"),
            *between,
            layers.Dense(3, activation="softmax", name="classes"),
        ],
        name="network",
    )


def accuracy_as_a_loss():
    """What is to be improved is counted, and counts have no slope."""

    def wrong_answers(y_true, y_pred):
        right = ops.equal(ops.argmax(y_true, -1), ops.argmax(y_pred, -1))
        return 1.0 - ops.cast(right, "float32")

    model = classifier()
    model.compile("adam", wrong_answers)
    return model


class Quantize(layers.Layer):
    """Rounds to eighths, as for storing a code in a few bits."""

    def call(self, x):
        """Returns the rounded values."""
        return ops.round(x * 8) / 8


def rounding_in_the_middle():
    """The half before the rounding gets nothing, the half behind it learns."""
    model = classifier(Quantize(name="quantize"))
    model.compile("adam", "categorical_crossentropy")
    return model


class Residual(layers.Layer):
    """Adds to its input what one layer makes of it, and forgets another."""

    def build(self, shape):
        """Builds both layers."""
        self.first = layers.Dense(shape[-1], name="first")
        self.second = layers.Dense(shape[-1], name="second")
        self.first.build(shape)
        self.second.build(shape)

    def call(self, x):
        """Returns the sum."""
        return x + self.first(x)


def layer_that_is_not_called():
    """It is built, counted in the summary, saved, and never used."""
    model = classifier(Residual(name="residual"))
    model.compile("adam", "categorical_crossentropy")
    return model


def penalty_that_hides_it():
    """All weights get a gradient, only none of it comes from the data."""

    def same_class(y_true, y_pred):
        return ops.mean(ops.abs(y_true - ops.round(y_pred)), axis=-1)

    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(
                3, use_bias=False, kernel_regularizer="l2", name="classes"
            ),
        ],
        name="network",
    )
    model.compile("adam", same_class)
    return model


def root_at_zero():
    """The slope of a square root at zero is infinite."""

    def distance(y_true, y_pred):
        return ops.sqrt(ops.mean(ops.square(0.0 * y_true * y_pred), axis=-1))

    model = classifier()
    model.compile("adam", distance)
    return model


MISTAKES = (
    accuracy_as_a_loss,
    rounding_in_the_middle,
    layer_that_is_not_called,
    penalty_that_hides_it,
    root_at_zero,
)


def main():
    """Makes each mistake and prints what the callback says."""
    x, y = make_data()
    for number, make_model in enumerate(MISTAKES, start=1):
        name = make_model.__name__.replace("_", " ")
        print(f"\n{number}. {name}: {make_model.__doc__}\n")
        try:
            make_model().fit(
                x, y, verbose=0, callbacks=[kp.GradientSanityCallback()]
            )
        except kp.GradientSanityError as error:
            print("\n".join(f"    {line}" for line in str(error).splitlines()))
        else:
            raise SystemExit("It was not noticed.")


if __name__ == "__main__":
    main()
