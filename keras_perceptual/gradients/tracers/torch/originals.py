"""Putting tensors back as they were before a step."""

from typing import Any

import torch


class Originals:
    """What tensors, and random numbers to come, were when first seen."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._generators: dict[Any, Any] = {}

    def keep(self, tensor: Any) -> None:
        """Keeps what a tensor is."""
        self._tensors.append(_Original(tensor))

    def keep_generator(self, generator: Any) -> None:
        """Keeps the random numbers to come of a `torch.Generator`."""
        if id(generator) not in self._generators:
            self._generators[id(generator)] = (generator, generator.get_state())

    def put_back(self) -> None:
        """Puts everything back that is no longer what it was."""
        with torch.no_grad():
            # What shares the memory of another one was seen later.
            for original in reversed(self._tensors):
                original.put_back()
        for generator, state in self._generators.values():
            generator.set_state(state)


class _Original:
    """What a tensor was when it was first seen."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor
        self._memory = memory_of(tensor)
        self._alias = tensor.detach()
        self._values = self._alias.clone()
        self._is_leaf = tensor.is_leaf
        self._requires_grad = tensor.requires_grad
        self._gradient = tensor.grad if tensor.is_leaf else None
        if self._gradient is not None:
            # Gradients are added to the one that is there.
            tensor.grad = self._gradient.clone()

    def put_back(self) -> None:
        """Puts it back where it is something else."""
        tensor = self._tensor
        if memory_of(tensor) != self._memory:
            tensor.data = self._alias
        # Some functions write to a tensor, and its version stays the same.
        if self._memory and not torch.equal(tensor, self._values):
            tensor.copy_(self._values)
        if self._is_leaf:
            if tensor.requires_grad != self._requires_grad:
                tensor.requires_grad_(self._requires_grad)
            if tensor.grad is not self._gradient:
                tensor.grad = self._gradient


def state_of(tensor: Any) -> Any:
    """Returns what changes when a tensor is written to."""
    version = 0 if tensor.is_inference() else tensor._version
    return memory_of(tensor), version


def memory_of(tensor: Any) -> Any:
    """Returns where the numbers of a tensor are, or 0 where there are none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        # Sparse tensors have no such place, nor have those of `torch.vmap`.
        return 0
