import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.replay import Numbers
from keras_perceptual.gradients.tracers.torch.autograd_graph import edges_of
from keras_perceptual.gradients.tracers.torch.values import Values


def test_keys_follow_the_value():
    values, x = Values(), torch.ones(2)
    assert values.find(x) is None and not values.knows(x)
    key = values.renew(x)
    assert values.find(x) == key and values.knows(x)
    x.add_(1)
    assert values.find(x) is None and values.knows(x)
    assert values.renew(x) != key
    assert values.numbers == {key: Numbers(1.0), key + 1: Numbers(2.0)}


def test_writing_to_the_memory_of_another_one():
    values, x = Values(), torch.ones(2)
    alias = x.data
    values.renew(alias)
    x.add_(1)
    assert values.find(alias) is not None  # It has a version of its own.
    values.note_write(x.untyped_storage().data_ptr(), "writer")
    assert values.find(alias) is None
    assert values.writer_of(alias) == "writer"


def test_edges():
    values = Values()
    x = torch.ones(2, requires_grad=True)
    key = values.renew(x)
    other = values.renew(torch.ones(2, dtype=torch.int32))
    assert values.edges == {edges_of(x)[0]: [key]}
    assert values.with_edge == {key} and values.floating == {key}
    probe = torch.ones(2)
    later = values.renew(probe)
    probe.requires_grad_()
    assert values.note_edges(probe, later) == edges_of(probe)
    assert later in values.with_edge and other not in values.with_edge
