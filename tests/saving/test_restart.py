"""A training that is cut off goes on as if nothing had happened."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import interrupted_training
import keras
import numpy as np
import pytest
from full_disks import DISKS, ROOM
from interrupted_training import EPOCHS, make_model, train

import keras_perceptual as kp
from keras_perceptual.io import read_cube

# In the second epoch, behind the batch that was saved last.
CUT_AT = (1, 4)


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """The folder of a training that was killed."""
    folder = tmp_path_factory.mktemp("cut_off")
    finished = subprocess.run(
        [
            sys.executable,
            interrupted_training.__file__,
            str(folder),
            *map(str, CUT_AT),
        ],
        env=dict(os.environ, KERAS_BACKEND=keras.backend.backend()),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == -signal.SIGKILL, finished.stderr
    return folder


def state_of(model):
    """Returns the weights, and what the optimizer remembers, by path."""
    return {
        variable.path: keras.ops.convert_to_numpy(variable.value)
        for variable in model.weights + model.optimizer.variables
    }


class Unbroken:
    """A training that nothing ends, and that no gradient check looks at."""

    def __init__(self, folder):
        self.start = str(folder / "start.weights.h5")
        self.model = make_model()
        self.model.optimizer.build(self.model.trainable_variables)
        self.model.save_weights(self.start)

    def fit(self, *parts):
        """Trains from the start.

        Args:
            *parts: Dictionaries of arguments of `train`, one after the other.

        Returns:
            The history of the last part, and the state behind it.
        """
        self.model.load_weights(self.start)
        for part in parts:
            history = train(self.model, **part)
        return history, state_of(self.model)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return Unbroken(tmp_path_factory.mktemp("unbroken"))


def assert_same(history, state, expected):
    """Losses, weights and optimizer are those of the unbroken training."""
    expected_history, expected_state = expected
    assert history.keys() == expected_history.keys()
    for name, values in history.items():
        np.testing.assert_allclose(
            values,
            expected_history[name][-len(values) :],
            rtol=1e-4,
            err_msg=name,
        )
    for found, (path, wanted) in zip(
        state.values(), expected_state.items(), strict=True
    ):
        np.testing.assert_allclose(
            found, wanted, rtol=1e-4, atol=1e-5, err_msg=path
        )


@pytest.mark.once
@pytest.mark.slow
def test_backups_lead_on(cut_off, unbroken):
    model, check = make_model(), kp.GradientSanityCallback()
    backup = keras.callbacks.BackupAndRestore(str(cut_off / "epochs"))
    history = train(model, callbacks=[backup, check], epochs=EPOCHS)
    assert len(history["loss"]) == EPOCHS - 1
    expected = unbroken.fit({"epochs": EPOCHS})
    assert_same(history, state_of(model), expected)
    assert len(check.report.ok) == len(model.trainable_variables)

    # Of a backup between epochs, Keras begins the epoch again.
    folder = cut_off / "batches"
    saved = json.loads((folder / "training_metadata.json").read_text())
    epoch, done = saved["epoch"], saved["batch"] + 1
    assert (epoch, done) == CUT_AT
    backup = keras.callbacks.BackupAndRestore(str(folder), save_freq=2)
    history = train(model, callbacks=[backup], epochs=EPOCHS)
    expected = unbroken.fit(
        {"epochs": epoch}, {"batches": slice(done)}, {"epochs": EPOCHS - epoch}
    )
    assert_same(history, state_of(model), expected)


@pytest.mark.slow
def test_a_saved_model_leads_on(cut_off, unbroken):
    expected = unbroken.fit({"epochs": EPOCHS})
    model = keras.models.load_model(cut_off / "model.keras")
    history = train(model, initial_epoch=CUT_AT[0], epochs=EPOCHS)
    assert_same(history, state_of(model), expected)


@pytest.mark.slow
def test_a_table_that_was_being_written_is_the_old_one(cut_off):
    path = cut_off / "grade.cube"
    model = keras.models.load_model(cut_off / "model.keras", compile=False)
    grade, table = model.get_layer("grade"), read_cube(path)
    for found, wanted in (
        (table.cube, grade.table),
        (table.curves, grade.shaper),
    ):
        np.testing.assert_array_equal(
            found, keras.ops.convert_to_numpy(wanted.value)
        )
    # What the writer left behind is hidden, and in nobody's way.
    (left_behind,) = cut_off.glob("*.part")
    assert left_behind.name.startswith(".")
    grade.to_cube(path)


# --- Disks that are full ----------------------------------------------------


@pytest.fixture(params=DISKS)
def disk(request, tmp_path):
    with DISKS[request.param](tmp_path) as disk:
        yield disk


@pytest.mark.slow
def test_a_training_goes_on_when_the_disk_has_room_again(disk):
    """Keras keeps the backup before, if `double_checkpoint` says so.

    Without it, the old file is gone, and HDF5 crashes the process.
    """

    class DiskIsFull(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                full.enter_context(disk.full())

    def make_small_model():
        grade = kp.LookupColorLayer(
            9, 1, table_constraint=kp.BoundedTable(), name="grade"
        )
        model = keras.Sequential([keras.Input((32, 32, 3)), grade])
        model.compile(keras.optimizers.Adam(0.01), kp.CharbonnierLoss())
        return model

    backup = keras.callbacks.BackupAndRestore(
        str(disk.folder / "backup"), double_checkpoint=True
    )
    unbroken, model = make_small_model(), make_small_model()
    with contextlib.ExitStack() as full, pytest.raises(OSError):
        train(unbroken, callbacks=[backup, DiskIsFull()], epochs=EPOCHS)
    # Nothing but the backup was lost: the process itself can go on.
    expected = train(unbroken, initial_epoch=2, epochs=EPOCHS)
    history = train(model, callbacks=[backup], epochs=EPOCHS)
    assert len(history["loss"]) == EPOCHS - 1
    assert history["loss"][-1] == pytest.approx(expected["loss"][-1], rel=1e-4)
    for found, wanted in zip(
        state_of(model).values(), state_of(unbroken).values(), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_full_disk_leaves_the_old_table(disk):
    path = disk.folder / "grade.cube"
    layer = kp.LookupColorLayer(9, name="grade")
    layer.build((None, None, None, 3))
    layer.to_cube(path, title="old")
    before = path.read_bytes()
    assert len(before) > 2 * ROOM
    with disk.full():
        with pytest.raises(OSError):
            layer.to_cube(path, title="new")
        assert path.read_bytes() == before
        assert not list(disk.folder.glob(".*"))
    layer.to_cube(path, title="new")
    assert read_cube(path).title == "new"


def test_a_full_disk_ends_no_training(disk):
    """The report for TensorBoard is missing, which is said."""
    layers = [keras.layers.Dense(2) for _ in range(12)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile("sgd", "mse")
    check = kp.GradientSanityCallback(log_dir=disk.folder / "logs")
    x = np.ones((2, 2), "float32")
    with disk.full(), pytest.warns(UserWarning, match="could not write"):
        history = model.fit(x, x, epochs=2, verbose=0, callbacks=[check])
    assert len(history.history["loss"]) == 2
    assert len(check.report) == 24
