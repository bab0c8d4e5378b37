"""A step goes into a folder and comes back, whole or not at all."""

import dataclasses

import numpy as np
import pytest

from keras_perceptual.gradients.recorder import incident
from keras_perceptual.gradients.recorder.incident import Incident

BATCH = (
    {"image": np.arange(6, dtype="uint8").reshape(2, 3), "mask": None},
    [np.array([0.5, np.nan], "float32")],
)
FOUND = Incident(
    step=7,
    epoch=1,
    text="Made by log",
    samples=(1,),
    batches=[BATCH],
    state=[np.ones((2, 2), "float16"), np.int64(3) * np.ones((), "int64")],
    readings=[{"step": 6, "norm": float("nan")}],
    digest="abc",
    backend="jax",
    specs=[[None, 3]],
    terms={"mse": 0.5},
)


def test_it_comes_back_as_it_was(tmp_path):
    folder = FOUND.write(tmp_path, 1000)
    assert folder.name == "nonfinite-step-00000007"
    found = incident.load(folder)
    for field in ("step", "epoch", "text", "samples", "digest", "backend"):
        assert getattr(found, field) == getattr(FOUND, field)
    assert found.specs == FOUND.specs and found.terms == FOUND.terms
    ((x, y),) = found.batches
    assert isinstance(y, list) and x["mask"] is None
    assert x["image"].dtype == "uint8"
    np.testing.assert_array_equal(x["image"], BATCH[0]["image"])
    np.testing.assert_array_equal(y[0], BATCH[1][0])
    for ours, theirs in zip(found.state, FOUND.state, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    # The next one does not overwrite it.
    assert FOUND.write(tmp_path, 1000).name.endswith("-2")


def test_types_that_numpy_has_no_name_for(tmp_path):
    types = pytest.importorskip("ml_dtypes")
    state = [np.array([1.5, 2.0], types.bfloat16)]
    folder = dataclasses.replace(FOUND, state=state).write(tmp_path, 1000)
    (back,) = incident.load(folder).state
    assert back.dtype == types.bfloat16
    np.testing.assert_array_equal(back, state[0])


@pytest.mark.parametrize(
    "changed, words",
    [
        ({}, r"larger `max_bytes`.*Received: bytes=30, max_bytes=20"),
        ({"batches": [np.array(["a", None], object)]}, "Convert it to numbers"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, changed, words):
    with pytest.raises((OSError, ValueError, TypeError), match=words):
        dataclasses.replace(FOUND, **changed).write(tmp_path, 20)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_the_middle_leaves_no_folder_of_that_name(
    tmp_path, monkeypatch
):
    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.rename", killed)
    with pytest.raises(KeyboardInterrupt):
        FOUND.write(tmp_path, 1000)
    assert list(tmp_path.iterdir()) == []


def test_a_hash_of_every_bit():
    arrays = [np.zeros(3, "float32")]
    whole = incident.digest_of(arrays, 0.5)
    assert whole == incident.digest_of([np.zeros(3, "float32")], 0.5)
    assert whole != incident.digest_of([-arrays[0]], 0.5)
    assert whole != incident.digest_of(arrays, 0.25)
