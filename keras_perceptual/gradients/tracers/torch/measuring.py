"""What is known of the numbers in a tensor."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import torch

from keras_perceptual.gradients.replay import Numbers


@functools.cache
def _transforms() -> Any:
    """Returns two functions about the tensors that `torch.func` wraps."""
    try:
        from torch._C._functorch import (
            get_unwrapped,
            is_functorch_wrapped_tensor,
        )
    except ImportError:
        # What runs in a transform is then seen as one operation.
        return None, lambda tensor: False
    return get_unwrapped, is_functorch_wrapped_tensor


def layers_of(tensor: Any) -> Iterator[Any]:
    """Yields a tensor and those in it, where `torch.func` wraps one.

    The innermost is the last: it holds the numbers of all that a transform
    such as `torch.vmap` runs at once.
    """
    unwrap, is_wrapped = _transforms()
    yield tensor
    while is_wrapped(tensor):
        tensor = unwrap(tensor)
        yield tensor


def innermost(tensor: Any) -> Any:
    """Returns the tensor that holds the numbers."""
    *_, tensor = layers_of(tensor)
    return tensor


def can_have_gradient(tensor: Any) -> bool:
    """Whether a tensor is of a kind that has gradients."""
    return tensor.is_floating_point() or tensor.is_complex()


def measure(tensor: Any) -> Numbers:
    """Returns the `Numbers` of a tensor, as far as they can be read."""
    try:
        return _measure(_plain(innermost(tensor).detach()))
    except Exception:
        # Tensors without numbers, of no such operation, or of another kind.
        return Numbers()


def _plain(tensor: Any) -> Any:
    """Returns the numbers that a tensor stores, real and dense."""
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce().values()
    elif tensor.layout != torch.strided:
        tensor = tensor.values()
    return tensor.abs() if tensor.is_complex() else tensor


def _measure(tensor: Any) -> Numbers:
    if not tensor.numel():
        return Numbers(0.0)
    # One pass over the numbers for almost all of them.
    low, high = (float(number) for number in torch.aminmax(tensor))
    size = max(abs(low), abs(high))
    if size < math.inf:
        return Numbers(size)
    finite = tensor[torch.isfinite(tensor)]
    return Numbers(
        float(finite.abs().max()) if finite.numel() else 0.0,
        nan=bool(torch.isnan(tensor).any()),
        infinite=bool(torch.isinf(tensor).any()),
    )
