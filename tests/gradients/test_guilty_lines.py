import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients import GradientSanityError

BACKEND = keras.backend.backend()


class Heads(keras.Model):
    """Has a head for training, and a step that does not ask for it."""

    def __init__(self):
        super().__init__()
        self.main, self.aux = layers.Dense(1), layers.Dense(1, name="aux")

    def call(self, x, training=False):
        if training:
            return self.main(x) + self.aux(x)
        return self.main(x)

    def train_step(self, data):
        weights = self.trainable_variables
        if BACKEND == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = ops.mean(ops.square(self(data[0])))  # to blame
            gradients = tape.gradient(loss, weights)
        else:
            self.zero_grad()
            loss = ops.mean(ops.square(self(data[0])))  # to blame
            loss.backward()
            gradients = [weight.value.grad for weight in weights]
        self.optimizer.apply(gradients, weights)
        return {"loss": loss}


# Keras warns of each batch by itself.
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.skipif(BACKEND == "jax", reason="has no such step")
def test_a_step_that_does_not_say_it_trains():
    model = Heads()
    model(np.zeros((1, 4), "float32"), training=True)
    model.compile("sgd")
    callback = GradientSanityCallback(on_missing="ignore")
    images = np.ones((8, 4), "float32")
    model.fit(images, images, verbose=0, callbacks=[callback])
    missing = callback.report.missing
    assert {record.layer for record in missing} == {"aux"}
    assert "# to blame" in missing[0].culprits[0].code


class Teaching(keras.Model):
    """Calls the teacher alone, who is not trained."""

    def __init__(self):
        super().__init__()
        self.teacher = layers.Dense(1, trainable=False)
        self.student = layers.Dense(1)
        self.student.build((None, 4))

    def call(self, x):
        return self.teacher(x)  # to blame


def loss_of_targets(y_true, y_pred):
    if y_true is None:
        return y_pred
    return ops.mean(ops.square(y_true - y_true))  # to blame


@pytest.mark.slow
@pytest.mark.parametrize("case", ["call", "loss"])
def test_code_that_depends_on_nothing_that_learns(case):
    model = Teaching()
    if case == "loss":
        model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse" if case == "call" else loss_of_targets)
    x = np.ones((8, 4), "float32")
    with pytest.raises(GradientSanityError) as error:
        callback = GradientSanityCallback()
        model.fit(x, x[:, :1], verbose=0, callbacks=[callback])
    assert "# to blame" in str(error.value).splitlines()[2]
