"""What a step goes on with of values that were joined, and what it leaves out.

Which part that is, as the last turn of a loop, stands in the program: no batch
ends the zeros of the others.
"""

from collections.abc import Hashable, Iterable, Sequence, Set

from keras_perceptual.gradients.cuts import Reach
from keras_perceptual.gradients.kinds import ADDITIONS, PARTS, WHOLE, kind_of
from keras_perceptual.gradients.replay import Derivative, Operation
from keras_perceptual.gradients.zero_steps import Step


def find_part(
    step: Step, derivative: Derivative, join: Operation
) -> Operation | None:
    """Returns what leaves parts of a join out, if all that use it do.

    Args:
        step: The `Step`.
        derivative: The `Derivative` in which parts of the join are zero.
        join: The operation that joins values, or fills them up.

    Returns:
        What cuts a part off from what is differentiated; or else what takes
        the part that has a gradient.
    """
    users: list[Operation] = []
    followed: set[Hashable] = set()
    waiting = [join]
    while waiting:
        outputs = waiting.pop().outputs
        followed.update(outputs)
        for user in _users_with_gradient(step, derivative, outputs):
            # What is added to it, or turns it, leaves nothing out.
            is_whole = kind_of(user) in ADDITIONS | WHOLE
            (waiting if is_whole else users).append(user)
    takes_parts = all(
        kind_of(user) in PARTS
        and not any(
            step.origin_of(value)
            for value in user.inputs
            if value not in followed
        )
        for user in users
    )
    if not (users and takes_parts):
        return None
    return _find_cut_of_other(step, derivative, followed, users) or users[0]


def _users_with_gradient(
    step: Step, derivative: Derivative, values: Iterable[Hashable]
) -> list[Operation]:
    """Returns the operations on some values that a gradient comes to."""
    return [
        user
        for value in values
        for user, _ in step.users.get(value, ())
        if any(key in derivative.gradients for key in user.outputs)
    ]


def _find_cut_of_other(
    step: Step,
    derivative: Derivative,
    values: Set[Hashable],
    parts: Sequence[Operation],
) -> Operation | None:
    """Returns what cuts another part off from what is differentiated.

    Args:
        step: The `Step`.
        derivative: The `Derivative`.
        values: Keys of the values that parts are taken of.
        parts: The operations that take those with a gradient.
    """
    operations = step.replay.operations
    others = [
        operation.outputs
        for operation in operations
        if kind_of(operation) in PARTS
        and operation not in parts
        and not values.isdisjoint(operation.inputs)
    ]
    reach = Reach.of(operations, others)
    if not any(t in reach.any for t in derivative.targets):
        return None
    for operation in operations:
        if (
            not operation.differentiable
            and not reach.differentiable.keys().isdisjoint(operation.inputs)
        ):
            return operation
    return None
