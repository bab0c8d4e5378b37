"""Keys for the values of tensors.

A tensor has a key for each value it had: writing to it, or to one that shares
its memory, gives it a new key.
"""

import collections
import itertools
from collections.abc import Hashable
from typing import Any

from keras_perceptual.gradients.tracers.torch.autograd_graph import edges_of
from keras_perceptual.gradients.tracers.torch.measuring import (
    can_have_gradient,
    innermost,
    measure,
)
from keras_perceptual.gradients.tracers.torch.originals import state_of


class Values:
    """The values that were seen.

    Attributes:
        numbers: The `Numbers` of each value, by key.
        floating: Keys of those that could have a gradient.
        edges: Where autograd knows of values, with the keys of these.
        with_edge: Keys of those that autograd knows of.
    """

    def __init__(self) -> None:
        self.numbers: dict[Any, Any] = {}
        self.floating: set[Any] = set()
        self.edges: dict[Any, Any] = {}
        self.with_edge: set[Any] = set()
        self._new_keys = itertools.count()
        # None is let go of before the end, so that no `id` and no memory is
        # used for another one.
        self._tensors: dict[Any, Any] = {}
        self._keys: dict[Any, Any] = {}
        self._states: dict[Any, Any] = {}
        self._writers: dict[Any, Any] = {}
        self._writes: collections.Counter[int] = collections.Counter()

    def find(self, tensor: Any) -> Hashable:
        """Returns the key of what a tensor is, `None` if it has none so far."""
        tensor = innermost(tensor)
        if self._states.get(id(tensor)) != self._state(tensor):
            return None
        return self._keys[id(tensor)]

    def knows(self, tensor: Any) -> bool:
        """Whether a tensor has, or had, a key."""
        return id(innermost(tensor)) in self._keys

    def add(self, numbers: Any, floating: bool = True) -> Hashable:
        """Returns the key of a new value that is in no tensor."""
        key = next(self._new_keys)
        self.numbers[key] = numbers
        if floating:
            self.floating.add(key)
        return key

    def renew(self, tensor: Any) -> Any:
        """Gives a tensor the key of a new value, and returns it."""
        core = innermost(tensor)
        key = self.add(measure(core), can_have_gradient(core))
        self._tensors[id(core)] = core
        self._keys[id(core)] = key
        self._states[id(core)] = self._state(core)
        self.note_edges(tensor, key)
        return key

    def note_edges(self, tensor: Any, key: Any) -> Any:
        """Takes note of the edges of a tensor, and returns them."""
        edges = edges_of(tensor)
        for edge in edges:
            self.note_edge(edge, key)
        return edges

    def note_edge(self, edge: Any, key: Any) -> None:
        """Takes note that autograd knows of a value at an edge."""
        keys = self.edges.setdefault(edge, [])
        if key not in keys:
            keys.append(key)
        self.with_edge.add(key)

    def note_write(self, memory: Any, writer: Any) -> None:
        """Takes note of what wrote to a memory."""
        if memory:
            self._writes[memory] += 1
            self._writers[memory] = writer

    def writer_of(self, tensor: Any) -> Any:
        """Returns what last wrote to the memory of a tensor, if anything."""
        memory, _ = state_of(innermost(tensor))
        return self._writers.get(memory)

    def _state(self, tensor: Any) -> Any:
        memory, version = state_of(tensor)
        return memory, version, self._writes[memory]
