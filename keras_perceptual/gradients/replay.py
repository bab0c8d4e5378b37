"""What happened in one training step, operation by operation.

Every backend takes a step once more and writes down what it saw in these
classes; what is found out with them does not depend on the backend.
"""

import dataclasses
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What is known of the numbers in a value, or in a gradient.

    Attributes:
        size: The largest size among the finite ones; `None` where the numbers
            were not read.
        nan: Whether one is NaN.
        infinite: Whether one is infinite.
    """

    size: float | None = None
    nan: bool = False
    infinite: bool = False

    @property
    def finite(self) -> bool:
        """Whether none is NaN or infinite."""
        return not (self.nan or self.infinite)

    @property
    def zero(self) -> bool:
        """Whether all are known to be zero."""
        return self.finite and self.size == 0


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """One operation of a step.

    What the step calls is taken apart: the operations in a function, in the
    branch that was taken and in each turn of a loop stand in the list of all
    operations, in the order in which they ran.

    Attributes:
        kind: What the backend calls it, such as `"ArgMax"`.
        inputs: Keys of the values that go in.
        outputs: Keys of the values that come out.
        scope: Names of the layers it was called in, the innermost last.
        frames: The Python frames it was called in, the innermost last, as
            objects with `filename`, `lineno`, `name` and `line`.
        differentiable: Whether the backend has a gradient for operations of
            its kind. Rounding has none, whatever the backend makes of it.
        varies: Whether something else may come out of the same inputs: it
            draws random numbers, or reads what can be written to.
        own_gradient: Whether its gradient is one that somebody wrote for it.
        conditional: Whether it ran in a branch that a condition chose.
        alternatives: Keys of the values from outside that branch to which
            gradients would come back had the condition chosen otherwise, and
            `None` where that is not known; of an `if` of Python, what goes in.
            An operation that stands for the choice, of kind `"If"`, has them
            too.
        counts_scopes: Whether the backend puts a number behind a name in
            `scope` that it has had before.
    """

    kind: str
    inputs: tuple[Hashable, ...]
    outputs: tuple[Hashable, ...]
    scope: tuple[str, ...] = ()
    frames: Sequence[Any] = ()
    differentiable: bool = True
    varies: bool = False
    own_gradient: bool = False
    conditional: bool = False
    alternatives: frozenset[Hashable] | None = None
    counts_scopes: bool = False

    @property
    def around(self) -> list[tuple[str, ...]]:
        """What the names in `scope` stand for, each time the likeliest first.

        Counted, `dense_1` may be the second call of `dense`.
        """
        if not self.counts_scopes:
            return [(name,) for name in self.scope]
        return [(name, re.sub(r"_\d+$", "", name)) for name in self.scope]


@dataclasses.dataclass(frozen=True)
class Derivative:
    """One call that asked for the gradients of variables.

    Attributes:
        targets: Keys of the values that were differentiated.
        variables: Keys of the variables asked about.
        gradients: The `Numbers` of the gradient of each value that has one,
            by key. A value that is not in it has no gradient at all.
        contributions: The largest size in what an operation adds to the
            gradient of one of its inputs, by the operation and the place of
            that input, as far as it is known.
        frames: The Python frames of the call, the innermost last.
        of_all: Whether it asked about everything there is, and named nothing.
    """

    targets: tuple[Hashable, ...]
    variables: frozenset[Hashable]
    gradients: Mapping[Hashable, Numbers] = dataclasses.field(
        default_factory=dict
    )
    contributions: Mapping[tuple[Operation, int], float] = dataclasses.field(
        default_factory=dict
    )
    frames: Sequence[Any] = ()
    of_all: bool = False


@dataclasses.dataclass(frozen=True)
class Replay:
    """One step.

    Attributes:
        operations: All of them, each after those it takes values from.
        holders: Keys of the values that stand for a followed variable, with
            the key of that variable.
        derivatives: The calls that asked for gradients.
        values: The `Numbers` of each value, by key.
        data: Keys of the values that came in with the batch, with the names of
            their places, such as `"y"` or `"x['mask']"`.
        changeable: Keys of other values that the step did not make and that
            may be different in another step, such as variables that are not
            followed. What nobody made and is neither this, nor a holder, nor
            data, is a constant.
    """

    operations: tuple[Operation, ...]
    holders: Mapping[Hashable, Hashable]
    derivatives: tuple[Derivative, ...]
    values: Mapping[Hashable, Numbers] = dataclasses.field(default_factory=dict)
    data: Mapping[Hashable, str] = dataclasses.field(default_factory=dict)
    changeable: frozenset[Hashable] = frozenset()


def is_due_to_none(error: BaseException) -> bool:
    """Whether code may have failed for a gradient that is `None`."""
    return isinstance(error, (AttributeError, TypeError, ValueError)) and (
        "None" in str(error)
    )


@dataclasses.dataclass
class Moment:
    """What one step begins with.

    Attributes:
        batch: The data, or `None` where they were not kept.
        values: What `copy_values` returned of the variables.
        attributes: What `copy_attributes` returned, before the Python code of
            the step ran last: a compiled step runs it once.
        state: The state that a step on JAX is given.
    """

    batch: Any = None
    values: dict[int, np.ndarray] | None = None
    attributes: list[Any] | None = None
    state: Any = None
