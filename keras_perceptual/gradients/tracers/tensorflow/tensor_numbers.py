"""What is known of the numbers in tensors of TensorFlow, read when asked."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_perceptual.gradients.replay import Numbers, Operation

# What comes back to an input of these is known from their outputs' gradient.
_MULTIPLICATIONS = frozenset(("Mul",))
_DIVISIONS = frozenset(("RealDiv", "Div"))
_ADDITIONS = frozenset(("AddV2", "Add", "Sub", "AddN"))


def has_numbers(tensor: Any) -> bool:
    """Whether a tensor holds numbers, or yes and no, at all."""
    dtype = tensor.dtype
    return dtype.is_floating or dtype.is_complex or dtype.is_integer


def is_differentiable(tensor: Any) -> bool:
    """Whether a tensor is of a kind that gradients exist for."""
    return tensor.dtype.is_floating or tensor.dtype.is_complex


def stored(gradient: Any) -> Any:
    """Returns the numbers that a gradient holds, without making it dense."""
    if isinstance(gradient, tf.IndexedSlices):
        return gradient.values
    return gradient


def read_numbers(tensor: Any) -> Numbers:
    """Returns the `Numbers` in a tensor."""
    return numbers_of(tensor.numpy())


def numbers_of(array: Any) -> Numbers:
    """Returns the `Numbers` in an array."""
    if not array.size:
        return Numbers(0.0)
    if array.dtype.kind not in "fciub":
        array = array.astype("float32")  # Such as bfloat16.
    with np.errstate(all="ignore"):
        # Of the lowest integer there is no absolute value.
        sizes = np.abs(array, dtype=None if array.dtype.kind in "fc" else float)
        largest = float(sizes.max())
    if np.isfinite(largest):
        return Numbers(largest)
    nan = bool(np.isnan(sizes).any())
    infinite = bool(np.isinf(sizes).any())
    finite = sizes[np.isfinite(sizes)]
    return Numbers(float(finite.max(initial=0.0)), nan, infinite)


class TensorNumbers(Mapping[Any, Any]):
    """The `Numbers` of tensors by key, each read the first time it is asked.

    Thousands of tensors are kept, and few are looked at.

    Args:
        tensors: The tensors by key.
    """

    def __init__(self, tensors: Any) -> None:
        self.tensors = tensors
        self._read: dict[Any, Any] = {}

    def know(self, key: Any) -> None:
        """Takes note of numbers that are there and cannot be read."""
        self._read[key] = Numbers()

    def __getitem__(self, key: Any) -> Numbers:
        if key not in self._read:
            self._read[key] = read_numbers(self.tensors[key])
        return self._read[key]

    def __contains__(self, key: Any) -> bool:
        return key in self._read or key in self.tensors

    def __iter__(self) -> Iterator[Hashable]:
        yield from self.tensors
        yield from (key for key in self._read if key not in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors) + sum(
            key not in self.tensors for key in self._read
        )


def _sum_to(gradient: Any, value: Any) -> Any:
    """Returns a gradient added up for a value that was broadcast."""
    added = gradient.ndim - len(value.shape)
    gradient = gradient.sum(tuple(range(added)))
    short = [axis for axis, size in enumerate(value.shape) if size == 1]
    return gradient.sum(tuple(short), keepdims=True)


class Contributions(Mapping[Any, Any]):
    """What operations add to the gradients of their inputs, as far as known.

    The keys are pairs of an `Operation` and the place of an input.

    Args:
        operations: The operations.
        values: The tensors by key.
        gradients: The gradients of them by key.
    """

    def __init__(self, operations: Any, values: Any, gradients: Any) -> None:
        self._values, self._gradients = values, gradients
        self._pairs = [
            (operation, place)
            for operation in operations
            if self._is_known(operation)
            for place, key in enumerate(operation.inputs)
            if key in values and not (operation.kind in _DIVISIONS and place)
        ]
        self._known = frozenset(self._pairs)
        self._read: dict[Any, Any] = {}

    def _is_known(self, operation: Any) -> Any:
        kinds = _MULTIPLICATIONS | _DIVISIONS | _ADDITIONS
        if operation.kind not in kinds or len(operation.outputs) != 1:
            return False
        return operation.outputs[0] in self._gradients

    def __getitem__(self, pair: Any) -> float:
        if pair not in self._known:
            raise KeyError(pair)
        if pair not in self._read:
            self._read[pair] = self._look(*pair)
        return self._read[pair]

    def _look(self, operation: Any, place: Any) -> Any:
        gradient = self._gradients[operation.outputs[0]].numpy()
        with np.errstate(all="ignore"):
            if operation.kind in _MULTIPLICATIONS:
                other = operation.inputs[1 - place]
                gradient = gradient * self._values[other].numpy()
            elif operation.kind in _DIVISIONS:
                gradient = gradient / self._values[operation.inputs[1]].numpy()
            gradient = _sum_to(gradient, self._values[operation.inputs[place]])
        return numbers_of(gradient).size

    def __contains__(self, pair: Any) -> bool:
        return pair in self._known

    def __iter__(self) -> Iterator[tuple[Operation, int]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)
