import keras
import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual.metrics.per_image_mean import PerImageMean
from keras_perceptual.metrics.similarity import Similarity


class Closeness(Similarity, PerImageMean):
    def __init__(self, loss, *, name="closeness", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.loss = loss


def test_is_one_minus_the_loss_and_comes_back_with_it():
    images = np.zeros((2, 8, 8, 3), "float32")
    metric = Closeness(kp.CharbonnierLoss(1e-6))
    metric.update_state(images, images + 0.25)
    assert float(metric.result()) == pytest.approx(0.75, abs=1e-5)
    again = Closeness.from_config(metric.get_config())
    assert again.loss.epsilon == 1e-6
    assert again.name == "closeness"


def test_callbacks_of_keras_know_that_more_is_better():
    metric = Closeness(kp.CharbonnierLoss())
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)]
    )
    model.compile("sgd", "mse", metrics=[metric])
    stop = keras.callbacks.EarlyStopping("val_closeness", patience=0)
    images = np.zeros((4, 8, 8, 3), "float32")
    model.fit(images, images, verbose=0, validation_split=0.5, callbacks=[stop])
    assert stop.monitor_op(2.0, 1.0)
