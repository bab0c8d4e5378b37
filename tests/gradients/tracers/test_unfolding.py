import keras
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("is about PyTorch alone", allow_module_level=True)

import torch

from keras_perceptual.gradients.tracers.torch.unfolding import (
    attend,
    call_checkpoint,
    cond,
    may_unfold,
)


def masks():
    mask = torch.rand(4, 5) > 0.3
    mask[0] = False
    return mask, torch.where(mask, torch.rand(4, 5), -torch.inf)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda: {},
        lambda: {"scale": 0.1},
        lambda: {"is_causal": True},
        lambda: {"attn_mask": masks()[0]},
        lambda: {"attn_mask": masks()[1]},
        lambda: {"enable_gqa": True},
    ],
)
def test_attention_and_its_gradient(arguments):
    """Also where all is hidden from a query."""
    arguments = arguments()
    heads = 2 if arguments.get("enable_gqa") else 4
    query = torch.rand(3, 4, 4, 6, requires_grad=True)
    key, value = (
        torch.rand(3, heads, 5, 6, requires_grad=True) for _ in range(2)
    )
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, **arguments
    )
    found = attend(query, key, value, **arguments)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad((found**2).sum(), [query, key, value]),
        torch.autograd.grad((expected**2).sum(), [query, key, value]),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_attention_that_stays_as_it_is():
    query = torch.rand(1, 2, 4, 8)
    assert may_unfold(query, query, query)
    assert not may_unfold(query.half(), query, query)
    long = torch.rand(1, 2**14, 1)
    assert not may_unfold(long, long, long)


def test_branches():
    for pred, expected in ((True, 3), (torch.tensor(False), 5)):
        assert cond(None, pred, lambda x: x, lambda x: x + 2, (3,)) == expected


def test_checkpoint():
    assert call_checkpoint(lambda x, y: x - y, True, 5, 3) == 2
