"""What lets nothing of a gradient through, at one operation, and for how long.

An end lies where something comes back to what an operation makes, and nothing
but zeros or rounding errors to what goes in.
"""

import dataclasses
from collections.abc import Hashable
from typing import Any

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.cuts import Locator
from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.joined_parts import find_part
from keras_perceptual.gradients.kinds import (
    ADDED_PRODUCTS,
    BOUNDS,
    CHOICES,
    COMPARISONS,
    DIVISIONS,
    ELEMENTWISE,
    JOINS,
    LEVEL,
    MOVING,
    MULTIPLICATIONS,
    NORMALIZATIONS,
    PADS,
    PRODUCTS,
    RELU_GRADIENTS,
    SHAPE_READERS,
    SOFTMAX,
    kind_of,
)
from keras_perceptual.gradients.replay import (
    Derivative,
    Numbers,
    Operation,
)
from keras_perceptual.gradients.roots import Root, Source
from keras_perceptual.gradients.ways import Origin
from keras_perceptual.gradients.zero_steps import Step

# How much rounding leaves of what cancels out.
ROUNDING = 1e-6
# No two numbers below it are so far apart that a softmax makes zero of one.
FAR_APART = 40.0
UNKNOWN = Numbers()


@dataclasses.dataclass(frozen=True)
class End:
    """Where a gradient ends, and why.

    Attributes:
        operation: The operation to be named.
        diagnosis: Why it ends there; `None` where that may be otherwise in
            another batch, `diagnoses.ZERO` where it may, but is worth telling.
        partners: The variables, as bits, whose zeros must stay as well.
        chosen: Whether a choice that the data make is closed.
        aside: Whether it lies beside the part that is gone on with, so that
            any other end tells more.
    """

    operation: Operation
    diagnosis: Diagnosis | None = None
    partners: int = 0
    chosen: bool = False
    aside: bool = False


class Judge:
    """Judges the ends of the gradients of one call that asked for some.

    Args:
        step: The `Step`.
        derivative: The `Derivative`.
        locator: The `Locator`.
    """

    def __init__(
        self, step: Step, derivative: Derivative, locator: Locator
    ) -> None:
        self._step = step
        self._values = step.replay.values
        self._derivative = derivative
        self._gradients = derivative.gradients
        self._locator = locator
        self._cancelled = {
            operation.inputs[place]
            for operation in step.replay.operations
            for place in range(len(operation.inputs))
            if self._cancels(operation, place)
        }

    def find_arriving(self) -> set[Hashable]:
        """Returns keys of the values that more than rounding comes back to."""
        arriving = set(self._derivative.targets)
        for operation in reversed(self._step.replay.operations):
            if not arriving.isdisjoint(operation.outputs):
                arriving.update(
                    value
                    for value in operation.inputs
                    if value in self._gradients
                    and not self._gradients[value].zero
                    and value not in self._cancelled
                )
        return arriving

    def judge(self, operation: Operation, place: int) -> End | None:
        """Returns the `End` at an input, `None` where another one tells why."""
        kind = kind_of(operation)
        if self._above(operation) is None:
            return End(operation)
        if kind in SOFTMAX:
            return self._judge_softmax(operation, kind)
        if self._cancels(operation, place):
            return End(operation, self._name_cancelling(operation))
        if kind in RELU_GRADIENTS:
            return self._judge_derivative(operation, place)
        if kind in LEVEL:
            return self._judge_level(operation, place)
        if kind in BOUNDS:
            others = [v for p, v in enumerate(operation.inputs) if p != place]
            # The larger one of two learned values is a choice.
            if any(self._step.origin_of(v) & Origin.HOLDER for v in others):
                return End(operation)
            return self._judge_level(operation, place)
        if kind in CHOICES and len(operation.inputs) > 1:
            chooser = operation.inputs[CHOICES[kind]]
            bound = self._bound_of(chooser)
            if bound is not None:
                return End(bound, self._name_level(bound))
            return self._judge_choice(operation, chooser)
        if kind in PRODUCTS and not (kind in ADDED_PRODUCTS and not place):
            return self._judge_product(operation, place, kind)
        if operation.inputs[place] in self._cancelled:
            return None
        if kind in JOINS | PADS:
            part = find_part(self._step, self._derivative, operation)
            if part is not None:
                return End(part, diagnoses.ZERO, aside=True)
        # What somebody wrote may be wrong, or a window that is closed.
        return End(
            operation, diagnoses.ZERO if operation.own_gradient else None
        )

    def _above(self, operation: Operation) -> float | None:
        """Returns the largest size that comes back, `None` if not known."""
        sizes = [
            self._gradients.get(value, UNKNOWN).size
            for value in operation.outputs
            if value in self._gradients
        ]
        known = [size for size in sizes if size is not None]
        return max(known) if known else None

    def _cancels(self, operation: Operation, place: int) -> bool:
        """Whether hardly anything stays of what comes back to an input."""
        value = operation.inputs[place]
        below = self._gradients.get(value, UNKNOWN)
        if below.size is None or not below.finite:
            return False
        # Of variables alone, a sum that cancels out may be a coincidence, or
        # meant: a critic's last bias drops out of a difference. What is divided
        # by itself is neither.
        is_twice = operation.inputs.count(value) > 1
        if not (is_twice or self._step.origin_of(value) & Origin.DATA):
            return False
        kind = kind_of(operation)
        if kind in ELEMENTWISE:
            through = self._derivative.contributions.get((operation, place))
        elif kind in SOFTMAX and below.size:
            through = self._above(operation)
        elif kind in NORMALIZATIONS and not place:
            through = self._above(operation)
        else:
            return False
        # What a normalization rounds, it divides by a deviation of zero.
        left = ROUNDING * (10 if kind in NORMALIZATIONS else 1)
        return bool(through and below.size <= left * through)

    def _name_cancelling(self, operation: Operation) -> Diagnosis:
        if self._is_written_out(operation):
            return diagnoses.SOFTMAX_OF_ONE
        return diagnoses.CANCELS

    def _size(self, value: Any) -> float | None:
        return self._values.get(value, UNKNOWN).size

    def _judge_softmax(self, operation: Operation, kind: str) -> End:
        result = self._size(operation.outputs[0])
        highest = 1 if kind == "softmax" else 0
        if result is None:
            return End(operation)
        if result != highest:
            # Among several, zeros need the same gradient for all of them.
            differ = kind != "softmax"
            return End(operation, None if differ else diagnoses.CANCELS)
        given = self._size(operation.inputs[0])
        if given is not None and given < FAR_APART:
            return End(operation, diagnoses.SOFTMAX_OF_ONE)
        if self._is_masked(operation.inputs[0]):
            return End(operation)
        return self._judge_level(operation, 0)

    def _is_masked(self, value: Any) -> bool:
        """Whether a value was made large by something that is not learned."""
        maker = self._step.makers.get(value)
        return maker is not None and any(
            (self._size(v) or 0) >= FAR_APART
            and not self._step.origin_of(v) & Origin.HOLDER
            for v in maker.inputs
        )

    def _judge_level(self, operation: Operation, place: int) -> End:
        """Returns the `End` where the slope is zero for all that goes in."""
        value = operation.inputs[place]
        softmax = self._find_softmax_of_one(value)
        if softmax is not None:
            return End(softmax, diagnoses.SOFTMAX_OF_ONE)
        if self._step.roots.is_zero(value):
            root = self._step.roots.find(value)
            if root.source is Source.DATA:
                return End(root.operation or operation, diagnoses.BLANK_INPUT)
            if root.source is Source.LEVEL:
                operation = root.operation or operation
            elif self._may_pass(value, root):
                return End(operation)
        return End(operation, self._name_level(operation))

    def _find_softmax_of_one(self, value: Any) -> Operation | None:
        """Returns the softmax over a single value that a value is, if any.

        A loss clips its ones, so that no gradient comes to the softmax at all.
        """
        maker = self._step.makers.get(value)
        while maker is not None and kind_of(maker) in MOVING | BOUNDS:
            learned = [
                given
                for given in maker.inputs
                if self._step.origin_of(given) & Origin.HOLDER
            ]
            maker = self._step.makers.get(learned[0]) if learned else None
        if maker is None or self._size(maker.outputs[0]) != 1:
            return None
        if kind_of(maker) == "softmax":
            given = self._size(maker.inputs[0])
            return maker if given is not None and given < FAR_APART else None
        return maker if self._is_written_out(maker) else None

    def _is_written_out(self, operation: Operation) -> bool:
        """Whether it divides by the sum of a softmax over a single value."""
        return (
            kind_of(operation) in DIVISIONS
            and self._size(operation.inputs[1]) == 1
            and "softmax" in self._locator.locate(operation).function
        )

    def _may_pass(self, value: Any, root: Root) -> bool:
        """Whether random numbers, as of a dropout, made a value zero."""
        # They may be made of a seed that is kept in a variable.
        random = Origin.VARYING | Origin.CHANGEABLE
        random = bool(self._step.origin_of(value) & random)
        return random and root.source in (Source.CHOICE, Source.OTHER)

    def _name_level(self, operation: Operation) -> Diagnosis:
        # A loss may have enough, as a hinge loss of far apart classes.
        in_layer = self._locator.locate(operation).layer
        return diagnoses.SATURATED if in_layer else diagnoses.ZERO

    def _judge_derivative(self, operation: Operation, place: int) -> End:
        """Returns the `End` at the derivative of a ReLU."""
        features = operation.inputs[-1]
        relu = self._step.relus.get(features) or operation
        if place == len(operation.inputs) - 1:
            return End(relu, diagnoses.SECOND_DERIVATIVE)
        return End(relu, self._name_level(relu))

    def _bound_of(self, chooser: Hashable) -> Operation | None:
        """Returns the minimum or maximum whose derivative is chosen, if any."""
        maker = self._step.makers.get(chooser)
        if maker is None or kind_of(maker) not in COMPARISONS:
            return None
        bound = self._step.bounds.get(frozenset(maker.inputs))
        # The larger one of two learned values is a choice.
        learned = [
            value
            for value in maker.inputs
            if self._step.origin_of(value) & Origin.HOLDER
        ]
        return bound if len(learned) == 1 else None

    def _judge_choice(self, operation: Operation, chooser: Hashable) -> End:
        origin = self._step.origin_of(chooser)
        if origin & (Origin.HOLDER | Origin.VARYING):
            return End(operation)
        if origin & Origin.CHANGEABLE:
            return End(operation, diagnoses.ZERO)
        if origin & Origin.DATA:
            return End(operation, diagnoses.MASKED, chosen=True)
        return End(operation, diagnoses.TIMES_ZERO)

    def _judge_product(
        self, operation: Operation, place: int, kind: str
    ) -> End:
        """Returns the `End` where the other factor may be zero."""
        first = kind in ADDED_PRODUCTS
        factors = operation.inputs[first : first + 2]
        # A number of Python is no value.
        factor = (*factors, None)[1 - (place - first)]
        multiplies = kind in MULTIPLICATIONS
        if factor is None:
            return End(operation, diagnoses.TIMES_ZERO if multiplies else None)
        if not self._step.roots.is_zero(factor):
            return End(operation)
        root = self._step.roots.find(factor)
        named = root.operation or operation
        if root.source is Source.FACTOR:
            return End(named, diagnoses.TIMES_ZERO)
        if root.source is Source.CONSTANT:
            return self._judge_constant(operation, named, multiplies)
        variable = self._find_zero_variable(factor)
        if variable is not None and not self._step.moves(variable):
            # Whatever it is multiplied by may move.
            partners = self._step.partners_in(variable)
            return End(operation, diagnoses.STUCK, partners)
        origin = self._step.origin_of(factor)
        if root.source is Source.CHANGEABLE:
            return End(named, diagnoses.ZERO)
        moves = self._step.moves(factor)
        if moves or origin & Origin.VARYING:
            told = root.source is Source.LEVEL or not moves
            return End(named, diagnoses.ZERO if told else None)
        partners = self._step.partners_in(factor)
        if root.source is Source.DATA:
            masked = multiplies and not origin & Origin.HOLDER
            return End(
                operation if masked else named,
                diagnoses.MASKED if masked else diagnoses.BLANK_INPUT,
                partners,
            )
        if root.source is Source.LEVEL:
            return End(named, self._name_level(named), partners)
        if multiplies and not origin & Origin.HOLDER:
            return End(operation, diagnoses.MASKED)
        # What is zero for another reason, such as a gate that is closed, may be
        # otherwise in another batch.
        if partners and root.source is Source.VARIABLE:
            return End(operation, diagnoses.STUCK, partners)
        return End(operation)

    def _find_zero_variable(self, value: Any) -> Any:
        """Returns the variable that alone keeps a product zero, if any."""
        maker = self._step.makers.get(value)
        while maker is not None and value not in self._step.replay.holders:
            kind = kind_of(maker)
            factors = maker.inputs[:2] if kind in PRODUCTS else ()
            if kind in ADDED_PRODUCTS:
                return None
            if kind in MOVING and len(maker.inputs) == 1:
                factors = maker.inputs
            zeros = [v for v in factors if self._step.roots.is_zero(v)]
            if len(zeros) != 1:
                return None
            value = zeros[0]
            maker = self._step.makers.get(value)
        return value if value in self._step.replay.holders else None

    def _judge_constant(
        self, operation: Operation, named: Operation, multiplies: bool
    ) -> End:
        """Returns the `End` where the other factor is a constant zero."""
        if kind_of(named) in SHAPE_READERS:
            # Such zeros are what the derivative of a ReLU has for one.
            relu = next(
                filter(None, map(self._step.relus.get, named.inputs)), None
            )
            if relu is not None and self._differentiates_data():
                return End(relu, diagnoses.SECOND_DERIVATIVE)
            if not multiplies and any(map(self._depends, named.inputs)):
                operation = named
        # The first state of a recurrent layer is zero and multiplies weights,
        # but a single step is nothing that must be an error.
        return End(
            operation, diagnoses.TIMES_ZERO if multiplies else diagnoses.ZERO
        )

    def _depends(self, value: Any) -> bool:
        """Whether a value is computed from a variable that is followed."""
        return bool(self._step.origin_of(value) & Origin.HOLDER)

    def _differentiates_data(self) -> bool:
        """Whether the step has a derivative by what is no variable."""
        variables = set(self._step.replay.holders.values())
        return any(
            variables.isdisjoint(derivative.variables)
            for derivative in self._step.replay.derivatives
        )
