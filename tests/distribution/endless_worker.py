"""A worker of TensorFlow that trains until it is stopped, or another one is."""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from distribution import training

import keras_perceptual as kp

# Before TensorFlow computes anything.
strategy = tf.distribute.MultiWorkerMirroredStrategy()
folder, rank = pathlib.Path(sys.argv[1]), strategy.cluster_resolver.task_id


class Sign(keras.callbacks.Callback):
    """Leaves a file behind when the training is on its way."""

    def on_epoch_end(self, epoch, logs=None):
        (folder / f"{rank}.training").touch()


with strategy.scope():
    inputs = keras.Input((8, 8, 3))
    outputs = kp.LookupColorLayer(5)(inputs)
model = training.WorkerModel(inputs, outputs)
images = np.random.default_rng(0).uniform(size=(8, 8, 8, 3)).astype("float32")
with strategy.scope():
    model.compile("sgd", kp.SobelGradientLoss("l2"))
    model.fit(
        images,
        images**2,
        batch_size=8,
        epochs=10**9,
        verbose=0,
        callbacks=[kp.GradientSanityCallback(), Sign()],
    )
