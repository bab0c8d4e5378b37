"""Numbers that leave PyTorch, and what they become."""

from collections.abc import Hashable
from typing import Any

from keras_perceptual.gradients.tracers.torch.nesting import (
    leaves_of,
    numbers_in,
)
from keras_perceptual.gradients.tracers.torch.surroundings import code_of_user

# They make numbers of Python or arrays of NumPy out of a tensor.
LEAVING = frozenset(
    (
        *("numpy", "__array__", "item", "tolist"),
        *("__float__", "__int__", "__index__", "__complex__"),
    )
)


class Leaving:
    """The numbers that left.

    What becomes of them is not known. Whatever is made of numbers later on,
    and of no variable, is taken to be made of these. So is what the function
    they went to computes with a number that is not written in it.

    Args:
        root: The Python frame in which the step is called.
    """

    def __init__(self, root: Any) -> None:
        self._root = root
        self._code: dict[Any, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._code)

    @property
    def keys(self) -> list[Hashable]:
        """The keys of all of them."""
        return list(self._code)

    def note(self, key: Any) -> None:
        """Takes note of numbers that leave."""
        self._code[key] = code_of_user(self._root)

    def find_near(self) -> list[Hashable]:
        """Returns the keys of those that went to the code around a call."""
        code = code_of_user(self._root)
        return [key for key, place in self._code.items() if place is code]

    def find_used(
        self, arguments: tuple[Any, ...], depends: Any
    ) -> list[Hashable]:
        """Returns the keys of those that a call may use.

        Args:
            arguments: What goes into the call.
            depends: Whether it depends on a variable without them.
        """
        numbers = numbers_in(arguments) if self else ()
        code = code_of_user(self._root) if numbers else None
        written = [*leaves_of(code.co_consts)] if code is not None else ()
        if all(isinstance(n, float) and n in written for n in numbers):
            return []
        return self.find_near() if depends else self.keys
