"""A training that a power cut ends; run as a script, it is the one cut off.

    python interrupted_training.py FOLDER EPOCH BATCH

trains as `train` does, saving into FOLDER, and kills itself before that batch.
"""

import os
import pathlib
import signal
import sys

import keras
import numpy as np

import keras_perceptual as kp

EPOCHS = 3
BATCHES = 5
SAVED_EVERY = 3  # Batches.


def pairs():
    """Returns photographs and what is to be made of them."""
    rng = np.random.default_rng(7)
    x = rng.uniform(0, 1, (BATCHES, 32, 32, 3)).astype("float32")
    return x, x**2


def make_model():
    """Returns a compiled model with one of everything that has a state."""
    keras.utils.set_random_seed(3)
    photos = keras.Input((32, 32, 3), name="photos")
    x = keras.layers.Conv2D(3, 3, padding="same", name="conv")(photos)
    x = kp.LookupColorLayer(
        4,
        shaper_size=3,
        table_regularizer=kp.TableSmoothness(0.01, order=2),
        table_constraint=kp.MonotonicTable(low=-0.5, high=1.5),
        # Of a network that has learned nothing, colors lie anywhere.
        check_range="off",
        name="grade",
    )(x)
    loss = kp.WeightedSumLoss(
        {
            "features": (kp.PerceptualLoss("alexnet", ["relu1"]), 0.1),
            "edges": kp.SobelGradientLoss(),
            "pixels": keras.losses.MeanSquaredError(),
        }
    )
    model = keras.Model(photos, x)
    model.compile(
        keras.optimizers.Adam(0.01, epsilon=1e-3),
        loss,
        metrics=[kp.LossTerms(loss), kp.LPIPSMetric()],
    )
    return model


def train(model, batches=slice(None), callbacks=(), **options):
    """Trains on some of the batches in their order; returns the history."""
    x, y = pairs()
    return model.fit(
        x[batches],
        y[batches],
        batch_size=1,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
        **options,
    ).history


def backups(folder):
    """Returns callbacks that save at the ends of epochs and in between."""
    folder = pathlib.Path(folder)
    return [
        keras.callbacks.BackupAndRestore(
            str(folder / "epochs"), delete_checkpoint=False
        ),
        keras.callbacks.BackupAndRestore(
            str(folder / "batches"),
            save_freq=SAVED_EVERY,
            delete_checkpoint=False,
        ),
        keras.callbacks.ModelCheckpoint(str(folder / "model.keras")),
    ]


class PowerCut(keras.callbacks.Callback):
    """Kills the process while a color table is written to a file.

    That file is there already: it was written at the end of the first epoch.
    """

    def __init__(self, path, epoch, batch):
        super().__init__()
        self.path = path
        self.place = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.model.get_layer("grade").to_cube(self.path)

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            # What makes sure that a file is on the disk comes near its end.
            os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
            self.model.get_layer("grade").to_cube(self.path)


if __name__ == "__main__":
    folder, epoch, batch = sys.argv[1:]
    cut = PowerCut(os.path.join(folder, "grade.cube"), int(epoch), int(batch))
    train(
        make_model(),
        callbacks=[*backups(folder), kp.GradientSanityCallback(), cut],
        epochs=EPOCHS,
    )
