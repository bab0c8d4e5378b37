import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_perceptual.callbacks import GradientSanityCallback

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
