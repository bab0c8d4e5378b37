"""Readings as a picture and as tables."""

import dataclasses

import numpy as np
import pytest

from keras_perceptual.gradients.recorder import pictures
from keras_perceptual.gradients.recorder.readings import Reading, Readings


def some_readings():
    readings = Readings(9)
    for step in (1, 100, 200):
        readings.add(
            Reading(
                step=step,
                epoch=0,
                loss=0.25,
                paths=("<a>", "b"),
                norm=np.array([step, np.nan]),
                weights=np.ones(2),
                update=np.array([0.0, 0.0]),
                zeros=np.array([0.5, 0.25]),
                finite=np.array([True, False]),
                dead={"hidden": step / 400},
                terms={"mse": 0.125},
            )
        )
    return readings


def test_a_table():
    text = pictures.as_text(some_readings())
    assert text.splitlines() == [
        "3 readings, the last of step 200 in epoch 0, loss 0.25",
        "variable  norm  update  zeros",
        "<a>       200   0       0.5",
        "b         -     0       0.25   not finite",
        "layer   dead units",
        "hidden  0.5",
        "term  value",
        "mse   0.125",
    ]
    page = pictures.as_html(some_readings())
    assert "<td>&lt;a&gt;</td><td>200</td>" in page
    assert pictures.as_text(Readings(1)) == "No step was read yet"


@pytest.mark.parametrize("column", ["norm", "update", "zeros", "dead"])
def test_a_picture(column):
    pytest.importorskip("matplotlib").use("agg")
    axes = pictures.plot_readings(some_readings(), column)
    (mesh,) = axes.collections
    names = ["hidden"] if column == "dead" else ["<a>", "b"]
    assert np.ma.shape(mesh.get_array()) == (len(names), 3)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == names
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "100", "200"]
    if column == "norm":
        assert mesh.norm.vmin == 1 and mesh.norm.vmax == 200
    axes.figure.canvas.draw()


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"'norm'.*Received: column='loss'"):
        pictures.plot_readings(some_readings(), "loss")
    with pytest.raises(ValueError, match=r"Call `fit`.*Received: readings="):
        pictures.plot_readings(Readings(3), "norm")
    without = Readings(1)
    without.add(dataclasses.replace(some_readings()[-1], dead={}))
    with pytest.raises(ValueError, match=r"no layer.*Received: column='dead'"):
        pictures.plot_readings(without, "dead")
