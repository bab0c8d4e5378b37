"""A step that shows a sign is kept if it comes out the same again."""

import types

import numpy as np
from readings_by_hand import readings_of

from keras_perceptual.gradients.recorder.keeper import Keeper
from keras_perceptual.gradients.recorder.window import Retaken

STATE = [np.ones(2, "float32")]


class Steps:
    """Steps whose state is a list of arrays."""

    def __init__(self):
        self.was_put = []

    def copy(self, arguments):
        return list(STATE)

    def put(self, state, arguments):
        self.was_put.append(state)
        return arguments

    def arrays(self, state):
        return state

    def specs(self):
        return None


def make(folder, *, loss=1.0, whole=True, most_bytes=1000):
    steps = Steps()
    reader = types.SimpleNamespace(
        steps=steps, function=None, loss_of=lambda outputs: outputs["loss"]
    )
    batches = [np.zeros((2, 1), "float32")]
    taken = [Retaken(n, STATE, batches, {"loss": loss}, ()) for n in (0, 1)]
    window = types.SimpleNamespace(
        is_whole=whole,
        note="",
        retake=lambda function, arguments: iter(taken),
        close=lambda: None,
    )
    readings = readings_of(np.ones((3, 2)))
    model = types.SimpleNamespace(variables=[])
    return steps, Keeper(model, reader, window, readings, folder, most_bytes)


def test_it_is_written_once_a_kind(tmp_path):
    steps, keeper = make(tmp_path)
    for _ in range(2):
        keeper.keep({"exploding": ["v1"], "died": ["v0"]}, {"loss": 1.0}, ())
    names = [path.name for path in tmp_path.iterdir()]
    assert names == ["exploding-step-00000003"]
    assert list(keeper.folders) == ["exploding"]
    assert len(steps.was_put) == 1


def test_what_is_not_kept_is_noted(tmp_path):
    """It came out otherwise, is too large, or the window has a gap."""
    sign = {"silent": ["hidden"]}
    for arguments, words in (
        ({"loss": 2.0}, "otherwise"),
        ({"most_bytes": 4}, "max_bytes=4"),
        ({"whole": False}, "was built"),
    ):
        _, keeper = make(tmp_path, **arguments)
        keeper.keep(sign, {"loss": 1.0}, ())
        assert words in keeper.notes["silent"] and not keeper.folders
    assert list(tmp_path.iterdir()) == []
    # Nowhere to write to is no trouble.
    steps, keeper = make(None)
    keeper.keep(sign, {"loss": 1.0}, ())
    assert not keeper.notes and not steps.was_put
