import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import sys

import torch

from keras_perceptual.gradients.tracers.torch.surroundings import (
    code_of_user,
    is_called_by_user,
    look_around,
)


class Looking(keras.layers.Layer):
    root = None

    def call(self, x):
        self.seen = look_around(self.root)
        return x


def look(root):
    return look_around(root)


def test_scopes_and_frames_down_to_the_root():
    outer = keras.Sequential([keras.Input((2,)), Looking(name="inner")])
    outer.layers[0].root = sys._getframe()
    outer(torch.ones(1, 2))
    scope, frames, choices = outer.layers[0].seen
    assert scope == (outer.name, "inner")
    assert not choices
    assert frames[-1].name == "call" and frames[-1].filename == __file__
    assert frames[-1].line == "self.seen = look_around(self.root)"
    assert all(frame.name != sys._getframe().f_code.co_name for frame in frames)


def test_equal_code_of_two_files():
    """A cell that is run again has the lines of the one before."""
    for path in ("first.py", "second.py"):
        names = {"look": look, "root": sys._getframe()}
        code = "def call():\n    return look(root)\n\nseen = call()"
        exec(compile(code, path, "exec"), names)
        _, frames, _ = names["seen"]
        assert frames[-2].filename == path


def test_branches():
    root = sys._getframe()
    _, _, taken = keras.ops.cond(True, lambda: look(root), lambda: None)
    _, _, chosen = keras.ops.switch(0, [lambda: look(root)])
    assert not look(root)[2]
    (taken,), (chosen,) = taken, chosen
    assert [taken.taken, chosen.taken] == [0, 0]
    assert [len(c.others) for c in (taken, chosen)] == [1, 0]


def test_code_of_user():
    root = sys._getframe()
    code = (lambda: code_of_user(root)).__code__
    assert (lambda: code_of_user(root))().co_name == code.co_name
    assert is_called_by_user(None)
    found = torch.nn.Module()
    found.apply(lambda module: setattr(module, "by", is_called_by_user(root)))
    assert found.by


def test_the_branch_that_is_taken():
    root = sys._getframe()
    first, second = lambda: look(root), lambda: look(root)
    for condition, others in ((True, [second]), (False, [first])):
        _, _, (choice,) = keras.ops.cond(condition, first, second)
        assert choice.others == others
    branches = [lambda x: look(root), lambda x: look(root), lambda x: None]
    _, _, (choice,) = keras.ops.switch(1, branches, 5.0)
    assert choice.taken == 1
    assert choice.others == [branches[0], branches[2]]
    assert choice.operands == (5.0,)


def test_a_layer_that_calls_another_of_its_class():
    """Each of them once, though a layer calls itself as an operation."""
    inner = Looking(name="inner")
    inner.root = sys._getframe()

    class Outer(keras.layers.Layer):
        def call(self, x):
            return inner(x)

    Outer(name="outer")(torch.ones(1, 2))
    assert inner.seen[0] == ("outer", "inner")
