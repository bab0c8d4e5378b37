"""Readings become scalars of TensorBoard."""

import keras
import numpy as np
import pytest

from keras_perceptual.gradients.recorder import summaries
from keras_perceptual.gradients.recorder.readings import Reading
from keras_perceptual.gradients.recorder.summaries import SummaryWriter

READING = Reading(
    step=7,
    epoch=0,
    loss=1.0,
    paths=("a", "b"),
    norm=np.array([2.0, np.nan]),
    weights=np.ones(2),
    update=np.array([0.5, 0.25]),
    zeros=np.array([np.nan, 0.125]),
    finite=np.ones(2, bool),
    dead={"hidden": 0.75},
    terms={"mse": np.inf, "mae": 1.0},
)


class File:
    """Stands for a file of events."""

    written = ()

    def __init__(self, folder):
        File.written = [folder]

    def add_scalar(self, *arguments):
        File.written.append(arguments)

    def add_histogram(self, *arguments):
        File.written.append(arguments)

    def flush(self):
        pass

    close = flush


def test_what_is_known_is_written(monkeypatch):
    monkeypatch.setattr(summaries, "EventFile", File)
    writer = SummaryWriter("Monitor", "logs")
    writer.write([READING])
    writer.close()
    folder, *scalars = File.written
    assert folder.endswith("gradients")
    assert scalars == [
        ("gradient_norm/a", 2.0, 7),
        ("update_ratio/a", 0.5, 7),
        ("update_ratio/b", 0.25, 7),
        ("zeros/b", 0.125, 7),
        ("dead_units/hidden", 0.75, 7),
        ("loss_term/mae", 1.0, 7),
    ]


def test_weights_as_histograms(monkeypatch):
    monkeypatch.setattr(summaries, "EventFile", File)
    variable = keras.Variable([1.0, 2.0], name="w")
    writer = SummaryWriter("Monitor", "logs")
    writer.write_weights([variable], 8)
    _, (tag, numbers, step) = File.written
    assert (tag, step) == (f"weights/{variable.path}", 8)
    assert numbers.tolist() == [1.0, 2.0]


def test_a_full_disk_is_told_once(monkeypatch):
    def full(folder):
        raise OSError("No space left")

    monkeypatch.setattr(summaries, "EventFile", full)
    writer = SummaryWriter("Monitor", "logs")
    with pytest.warns(UserWarning, match=r"Monitor could not.*No space left"):
        writer.write([READING])
    writer.write([READING])
    writer.close()
