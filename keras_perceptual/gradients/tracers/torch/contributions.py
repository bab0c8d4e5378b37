"""What one operation adds to the gradient of what goes into it."""

from collections.abc import Iterator
from typing import Any

MULTIPLICATIONS = frozenset("mul multiply imul".split())
DIVISIONS = frozenset("div true_divide divide itruediv".split())
ADDITIONS = frozenset("add radd iadd sub rsub isub subtract".split())
ELEMENTWISE = MULTIPLICATIONS | DIVISIONS | ADDITIONS | {"rdiv"}


def is_elementwise(kind: str, arguments: tuple[Any, ...]) -> bool:
    """Whether it is arithmetic with two arguments."""
    return kind.strip("_") in ELEMENTWISE and len(arguments) == 2


def contributions_to(
    kind: str, gradient: Any, arguments: tuple[Any, ...]
) -> Iterator[Any]:
    """Yields what an operation adds to the gradients of its arguments.

    Args:
        kind: What is done.
        gradient: The gradient of what comes out.
        arguments: The two that go in: tensors, some of which have a gradient,
            or numbers.

    Yields:
        The place of an argument, and what is added to its gradient.
    """
    name = kind.strip("_")
    for place, argument in enumerate(arguments):
        if not getattr(argument, "requires_grad", False):
            continue
        if name in MULTIPLICATIONS:
            part = gradient * _numbers_of(arguments[1 - place])
        elif name in DIVISIONS and place == 0:
            part = gradient / _numbers_of(arguments[1])
        elif name in ADDITIONS:
            part = gradient
        else:
            continue
        yield place, part.sum_to_size(argument.shape)


def _numbers_of(argument: Any) -> Any:
    return argument.detach() if hasattr(argument, "detach") else argument
