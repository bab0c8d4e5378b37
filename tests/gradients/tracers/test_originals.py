import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.tracers.torch.originals import (
    Originals,
    memory_of,
    state_of,
)


def test_what_was_written_to():
    x, parameter = torch.ones(3), torch.nn.Parameter(torch.ones(2))
    originals = Originals()
    for tensor in (x, parameter, x[1:]):
        originals.keep(tensor)
    version = parameter._version
    x.mul_(2)
    with torch.no_grad():
        x.data = torch.zeros(5)
    originals.put_back()
    assert x.tolist() == [1.0] * 3
    assert parameter._version == version


def test_what_was_seen_later_shares_what_was_seen_before():
    x = torch.ones(3)
    originals = Originals()
    originals.keep(x)
    x.add_(1)
    originals.keep(x.data)
    x.add_(1)
    originals.put_back()
    assert x.tolist() == [1.0] * 3


def test_writing_that_no_version_tells():
    """The statistics of a normalization change without it."""
    mean, variance = torch.zeros(2), torch.ones(2)
    originals = Originals()
    originals.keep(mean)
    torch.nn.functional.batch_norm(
        torch.rand(4, 2) + 3, mean, variance, training=True
    )
    assert mean.sum() > 0
    originals.put_back()
    assert mean.tolist() == [0.0, 0.0]


def test_gradients_and_whether_there_are_any():
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = gradient = torch.ones(2)
    originals = Originals()
    originals.keep(parameter)
    (parameter * 3).sum().backward()
    assert parameter.grad.tolist() == [4.0, 4.0]
    parameter.requires_grad_(False)
    originals.put_back()
    assert parameter.grad is gradient and gradient.tolist() == [1.0, 1.0]
    assert parameter.requires_grad


def test_generators():
    generator = torch.Generator().manual_seed(1)
    originals = Originals()
    originals.keep_generator(generator)
    first = torch.rand(2, generator=generator)
    originals.keep_generator(generator)
    originals.put_back()
    assert torch.equal(first, torch.rand(2, generator=generator))


def test_state():
    x = torch.ones(2)
    before = state_of(x)
    x.add_(1)
    assert state_of(x) != before
    assert memory_of(x) == memory_of(x[1:]) != memory_of(x.clone())
    assert memory_of(torch.eye(2).to_sparse()) == 0
