"""What the recorder says, whatever it knows."""

import types

import pytest
from readings_by_hand import readings_of

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.places import Place
from keras_perceptual.gradients.recorder import wording
from keras_perceptual.gradients.recorder.blame import Blame

PLACE = Place("Log", "keras.ops.log", "net", "Net", "train.py", 7, "call", "x")


def test_the_line_the_layer_and_the_samples():
    blame = Blame(Cause(diagnoses.MADE_FORWARD, (PLACE,)), (3, 5))
    text = wording.explain(blame)
    assert "keras.ops.log (Log) in layer 'net' (Net), train.py:7" in text
    assert "in call: x" in text
    assert text.endswith("Samples 3, 5 of the batch do it, each alone.")
    assert wording.explain(None) == ""


def test_the_terms_of_a_loss():
    nan = float("nan")
    assert wording.name_terms({"mse": nan}) == ""
    assert wording.name_terms({"a": 1.0, "b": 2.0}) == ""
    text = wording.explain(None, {"a": nan, "b": nan})
    assert text == "Every term of the loss is NaN or infinite."
    many = {f"t{i}": nan for i in range(8)}
    text = wording.name_terms({**many, "b": 1.0})
    assert "'t5' and 2 more are NaN or infinite, and 'b' is finite." in text


def test_many_samples_are_counted():
    assert "11 and 8 more of" in wording.name_samples(range(20))


@pytest.mark.parametrize(
    "policy, words",
    [
        ("stop", "as they were before that step"),
        ("warn", "Training continues."),
        ("skip", "left out"),
    ],
)
def test_what_is_done_about_it(policy, words):
    incident = types.SimpleNamespace(epoch=2)
    text = wording.announce(
        "Monitor", 9, "Made by log", "", policy=policy, incident=incident,
        folder=None,
    )  # fmt: skip
    assert text.startswith("Monitor: step 9 made the loss or weights NaN")
    assert words in text and "Pass `log_dir`" in text
    assert text.endswith("Received: step=9, epoch=2")


def test_a_step_that_is_not_known():
    text = wording.announce(
        "Monitor", 9, "", "no room", policy="skip", incident=None, folder=None
    )
    assert "is not known: no room. Training continues." in text
    assert text.endswith("Received: step=9")


def test_a_sign_with_its_numbers():
    reading = readings_of([[3.0, 4.0]], dead=[1.0])[0]
    text = wording.describe_sign("exploding", ["v1"], reading)
    assert text.startswith("'v1' has a gradient 1000 times")
    assert text.endswith("\n  v1: norm 4, update 0.001, weights 1")
    text = wording.describe_sign("silent", ["hidden"], reading)
    assert text.endswith("\n  hidden: dead units 1")


def test_signs_before_a_step_that_broke():
    assert wording.name_signs({}) == ""
    text = wording.name_signs({"exploding": ["a", "b", "c"], "died": ["d"]})
    assert text.startswith("Read before: 'a' and 2 more has a gradient 1000")
    assert "; 'd' had gradients" in text


def test_where_a_sign_is_kept():
    found = {"exploding": ["a"], "silent": ["b"]}
    text = wording.describe_signs(
        "Monitor",
        "epoch 3",
        found,
        {"exploding": "there"},
        {"silent": "no room"},
    )
    assert "keras_perceptual.replay('there', model). 'b' is dead" in text
    assert "No step of that is kept: no room." in text


def test_signs_in_one_line():
    text = wording.describe_signs("Monitor", "epoch 3", {"died": ["a", "b"]})
    assert text.startswith("Monitor, epoch 3: 'a' and 1 more had gradients")
    assert text.endswith("Received: died=['a', 'b']") and "\n" not in text
