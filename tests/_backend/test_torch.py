"""What PyTorch alone can do: modes of modules, exports, processes."""

import keras
import numpy as np
import pytest

from keras_perceptual import _backend
from keras_perceptual.ops.table_places import CubePlaces

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch


def test_tables_are_read_in_plain_operations_in_an_export():
    """A program that is to run elsewhere knows no functions of ours."""

    class Read(torch.nn.Module):
        def forward(self, colors):
            return _backend.read_blended(
                CubePlaces((2, 2, 2), "linear"), colors, torch.ones(8, 3)
            )

    colors = torch.full((4, 3), 0.25)
    assert Read()(colors.requires_grad_()).grad_fn is not None
    with torch.no_grad():
        program = torch.export.export(Read(), (colors.detach(),))
    assert "BlendedRead" not in str(program.graph)
    found = program.module()(colors.detach())
    np.testing.assert_allclose(found, np.ones((4, 3)), rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_program_traced_with_one_image_reads_the_tables_of_two():
    """Whoever exports to ONNX traces a single image."""

    def read(colors, tables):
        return _backend.read_blended(
            CubePlaces((2, 2, 2), "linear"), colors, tables
        )

    colors, tables = torch.rand(2, 5, 3), torch.rand(2, 8, 3)
    traced = torch.jit.trace(read, (colors[:1], tables[:1]))
    np.testing.assert_allclose(
        traced(colors, tables), read(colors, tables), rtol=1e-5
    )


def test_modes_and_random_numbers_are_put_back():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.train()
    model.layers[0].eval()
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), _backend.looking(model):
        assert not model.training
        torch.rand(3)
        raise RuntimeError
    assert model.training and not model.layers[0].training
    np.testing.assert_array_equal(torch.get_rng_state(), before)


def test_a_later_process_is_not_the_chief(monkeypatch):
    group = torch.distributed
    monkeypatch.setattr(group, "is_initialized", lambda: True)
    monkeypatch.setattr(group, "get_rank", lambda: 1)
    assert not _backend.is_chief(None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_gradients_of_a_second_size(rng):
    """Whose sizes PyTorch takes for unknown, and fails with plain views."""
    torch._dynamo.reset()
    window = np.array([0.25, 0.5, 0.25])

    def gradient(x):
        x = x.clone().requires_grad_()
        cost = _backend.filter_images(x, window).square().sum()
        return torch.autograd.grad(cost, [x])[0]

    compiled = torch.compile(gradient)
    for size in ((9, 8), (11, 7), (12, 10)):
        x = torch.tensor(rng.uniform(size=(2, *size, 3)).astype("float32"))
        torch.testing.assert_close(compiled(x), gradient(x))
