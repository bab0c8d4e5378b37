"""Where in a step a gradient becomes zero, and whether that is for good.

A gradient of zeros is ordinary: a gate that is closed for this batch, a kernel
that starts at zero, a bias that cancels out. It is a defect where no batch can
change it.
"""

import dataclasses

from keras_perceptual.gradients import dataflow, reasons
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.places import locate

# The names that the backends have for operations, see `_kind`.
# They are level over a part of their range: where all that goes in lies there,
# no gradient comes back.
LEVEL = frozenset(
    "relu relu6 selu elu softplus sigmoid tanh sign clipbyvalue clamp clip "
    "hardtanh hardsigmoid logistic softmax logsoftmax log_softmax".split()
)
# Level on one side of their other input.
BOUNDS = frozenset(("minimum", "maximum", "min", "max"))
# Where one factor is zero, nothing comes back to the other.
MULTIPLICATIONS = frozenset("mul multiply rmul".split())
PRODUCTS = MULTIPLICATIONS | frozenset(
    "matmul batchmatmul batchmatmulv2 batchmatmulv3 mm bmm addmm linear einsum "
    "conv1d conv2d conv3d depthwiseconv2dnative "
    "dot_general conv_general_dilated".split()
)
LOOPS = frozenset(("while", "statelesswhile", "scan"))
ADDITIONS = frozenset("addv2 add radd sub subtract rsub".split())
DIVISIONS = frozenset("realdiv div truediv divide".split())
# What comes back to one of their inputs is known, so that it can be told when
# the other ways from there cancel it out.
ELEMENTWISE = MULTIPLICATIONS | ADDITIONS | DIVISIONS
LOOKED_AT = LEVEL | BOUNDS | PRODUCTS | LOOPS | ELEMENTWISE
# How much rounding leaves of what cancels out.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Reading:
    """What was read at an operation while the step ran.

    Attributes:
        above: The largest size in the gradient of what comes out.
        below: For each input, the largest size in its gradient.
        sizes: For each input, the largest size in it.
        through: For each input, the largest size in what the operation
            contributes to its gradient; 0 where that is not known.
    """

    above: float
    below: tuple
    sizes: tuple
    through: tuple = (0.0, 0.0)


def unpack_readings(operations, numbers):
    """Returns the `Reading` of each operation from a row of numbers.

    Args:
        operations: The operations in the order of the numbers.
        numbers: For each operation `above`, then `below`, `sizes` and
            `through` of each input.
    """
    numbers = iter(float(number) for number in numbers)
    readings = {}
    for operation in operations:
        count = len(operation.inputs)
        readings[operation] = Reading(
            next(numbers),
            *(tuple(next(numbers) for _ in range(count)) for _ in range(3)),
        )
    return readings


def _kind(operation):
    """Returns what an operation is, of `__mul__`, `mul_` and `Mul` the same."""
    return operation.kind.strip("_").lower()


def is_looked_at(operation):
    """Whether a gradient may end at an operation, by what it is."""
    return _kind(operation) in LOOKED_AT


def contribution(operation, gradient, arguments, place):
    """Returns what an operation adds to the gradient of an input, if known.

    Args:
        operation: The `Operation`.
        gradient: The gradient of what comes out.
        arguments: What goes in, tensors.
        place: Which of them is asked about; of the shape of `gradient`.
    """
    kind = _kind(operation)
    if kind in MULTIPLICATIONS:
        return gradient * arguments[1 - place]
    if kind in DIVISIONS and place == 0:
        return gradient / arguments[1]
    return gradient if kind in ADDITIONS else None


def is_loop(operation):
    """Whether it runs other operations again and again."""
    return _kind(operation) in LOOPS


def choose_operations(flow, variables):
    """Returns the operations to be read for variables with a zero gradient.

    Args:
        flow: The `Dataflow` of the step.
        variables: Keys of the variables.
    """
    needed, connected = _ways(flow, variables)
    return [
        operation
        for operation in dataflow.users_of(needed, connected.keys())
        if is_looked_at(operation)
    ]


def find_causes(flow, variables, readings, layers, functions=()):
    """Finds out which zeros no batch can change.

    Args:
        flow: The `Dataflow` of the step.
        variables: Keys of the variables whose gradient is zero.
        readings: The `Reading` of each chosen operation.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A dictionary with the `Cause` of each variable that has one.
    """
    variables = list(variables)
    _, connected = _ways(flow, variables)
    reached = {
        variable: {k for k, bits in connected.items() if bits >> place & 1}
        for place, variable in enumerate(variables)
    }
    _, trained = _ways(flow, list(flow.holders.values()))
    places = {o: locate(o, layers, functions) for o in readings}
    ends = {
        variable: [
            # A loss may have enough, as a hinge loss of far apart classes.
            dataclasses.replace(end, reason="")
            if end.reason == reasons.SATURATED and not places[operation].layer
            else end
            for operation, reading in readings.items()
            if (end := _look(operation, reading, variable, reached, trained))
        ]
        for variable in variables
    }
    ends = {variable: found for variable, found in ends.items() if found}
    # One end that the next batch may open is enough. A factor that another one
    # waits for must itself be there for good.
    while loose := [
        variable
        for variable, found in ends.items()
        if not all(end.reason and end.partners <= ends.keys() for end in found)
    ]:
        for variable in loose:
            del ends[variable]
    # What needs no other variable tells most.
    first = {
        variable: min(found, key=lambda end: len(end.partners))
        for variable, found in ends.items()
    }
    return {
        variable: Cause(end.reason, (places[end.operation],))
        for variable, end in first.items()
    }


def _ways(flow, variables):
    """Returns what the loss needs, and what `follow_all` finds of variables."""
    targets = {t for v in variables for t in flow.targets_for(v)}
    needed = dataflow.needed_for(flow, targets)
    beginnings = [flow.values_of(v) for v in variables]
    return needed, dataflow.follow_all(flow, needed, beginnings)


@dataclasses.dataclass(frozen=True)
class _End:
    """An operation that lets nothing of a gradient through to a variable.

    Attributes:
        operation: The operation.
        reason: Why it stays so, or `""` where another batch may differ.
        partners: The variables whose zeros must stay as well.
    """

    operation: dataflow.Operation
    reason: str
    partners: frozenset = frozenset()


def _look(operation, reading, variable, reached, trained):
    """Returns the `_End` of a variable's gradient at an operation, if it is."""
    own = reached[variable]
    places = [p for p, v in enumerate(operation.inputs) if v in own]
    # What comes out of a loop as a list has no gradient that can be read.
    arrives = reading.above or (is_loop(operation) and any(reading.below))
    if not places or not arrives:
        return None
    if any(_cancels(operation, reading, place) for place in places):
        return _End(operation, reasons.CANCELS)
    kind = _kind(operation)
    if kind in ADDITIONS | DIVISIONS or any(
        reading.below[place] for place in places
    ):
        return None
    if kind in LEVEL:
        return _End(operation, reasons.SATURATED)
    if kind in LOOPS:
        return _End(operation, reasons.NO_STEP)
    others = [p for p in range(len(operation.inputs)) if p not in places]
    if kind in BOUNDS:
        # The larger one of two learned values is a choice.
        learned = any(operation.inputs[p] in trained for p in others)
        return _End(operation, "" if learned else reasons.SATURATED)
    partners = frozenset(
        other
        for other, values in reached.items()
        for p in others
        if not reading.sizes[p] and operation.inputs[p] in values
    )
    return _End(operation, reasons.STUCK if partners else "", partners)


def _cancels(operation, reading, place):
    """Whether hardly anything stays of what comes back to an input."""
    below, through = reading.below[place], reading.through[place]
    if _kind(operation) == "softmax":
        return 0 < below <= ROUNDING * reading.above
    return _kind(operation) in ELEMENTWISE and 0 < through >= below / ROUNDING
