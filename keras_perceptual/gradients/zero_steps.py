"""What is known of a step in which gradients are zero, before any is judged."""

from collections.abc import Hashable, Sequence
from typing import Any

from keras_perceptual.gradients import ways
from keras_perceptual.gradients.cuts import Choices, Reach
from keras_perceptual.gradients.kinds import BOUNDS, kind_of
from keras_perceptual.gradients.replay import Numbers, Operation, Replay
from keras_perceptual.gradients.roots import Roots
from keras_perceptual.gradients.ways import Origin


class Step:
    """What is known of a step with gradients of zeros.

    Args:
        replay: Its `Replay`.
        variables: Keys of the variables with such gradients.

    Attributes:
        replay: Its `Replay`.
        beginnings: For each variable keys of the values that stand for it.
        reach: The `Reach` of these variables.
        choices: The `Choices` that it made.
        origins: The `Origin` of each value that is no constant.
        makers: The operation that made each value.
        users: The operations that take each value, and as which input.
        relus: The ReLU that makes or takes a value.
        bounds: The minimum or maximum of some values.
        roots: Finds where values of zeros come from.
    """

    def __init__(self, replay: Replay, variables: Sequence[Any]) -> None:
        self.replay = replay
        self.origins: dict[Hashable, Origin] = ways.origins_of(replay)
        self.makers: dict[Hashable, Operation] = ways.makers_of(
            replay.operations
        )
        self.users: dict[Hashable, list[tuple[Operation, int]]] = ways.users_of(
            replay.operations
        )
        self.relus: dict[Hashable, Operation] = ways.relus_of(replay.operations)
        self.bounds: dict[frozenset[Hashable], Operation] = {
            frozenset(operation.inputs): operation
            for operation in replay.operations
            if kind_of(operation) in BOUNDS
        }
        self.roots: Roots = Roots(replay.values, self.makers, self.origins)
        self.beginnings: list[list[Hashable]] = list(
            ways.values_of(replay, variables).values()
        )
        self.reach: Reach = Reach.of(replay.operations, self.beginnings)
        self.choices: Choices = Choices(replay.operations, self.reach)
        # What is computed from variables that do move, is one more.
        self._moving = 1 << len(variables)
        self._numbers = ways.follow(
            replay.operations,
            [*self.beginnings, _values_that_move(replay, variables)],
            ways.carries_numbers,
        )

    def origin_of(self, value: Any) -> Origin:
        """Returns the `Origin` of a value."""
        return self.origins.get(value, Origin.CONSTANT)

    def moves(self, value: Any) -> bool:
        """Whether a value depends on a variable with a gradient."""
        return bool(self._numbers.get(value, 0) & self._moving)

    def partners_in(self, value: Any) -> int:
        """Returns the variables without one that it depends on, as bits."""
        return self._numbers.get(value, 0) & (self._moving - 1)


def _values_that_move(
    replay: Replay, variables: Sequence[Any]
) -> list[Hashable]:
    return [
        value
        for value, variable in replay.holders.items()
        if variable not in variables
        and any(
            variable in d.variables
            and not d.gradients.get(value, Numbers(0)).zero
            for d in replay.derivatives
        )
    ]
