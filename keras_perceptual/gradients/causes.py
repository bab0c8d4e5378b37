"""Why a variable has no gradient, read off the operations of the step."""

import dataclasses

from keras_perceptual.gradients import dataflow, reasons
from keras_perceptual.gradients.places import Place, locate

# They look at the shape of a value, not at its numbers.
SHAPE_READERS = frozenset(
    "Shape ShapeN Size Rank ZerosLike OnesLike "
    "zeros_like ones_like empty_like full_like".split()
)
# They are seldom what was meant to carry a gradient.
COMPARISONS = frozenset(
    "Equal NotEqual Greater GreaterEqual Less LessEqual "
    "Bitcast LogicalAnd LogicalOr LogicalNot IsNan IsFinite "
    "eq ne gt ge lt le and or not is_finite".split()
)
# Which of its inputs makes an operation, or its gradient, not finite: at zero,
# below zero, or where it is infinite.
RISKY = {
    **dict.fromkeys(("Sqrt", "Rsqrt", "Log", "Reciprocal", "Inv"), 0),
    **dict.fromkeys(("Acos", "Asin", "Atanh", "Acosh", "Pow", "Exp"), 0),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Cholesky", "Svd"), 0),
    **dict.fromkeys(("RealDiv", "Div", "Xdivy", "Xlogy", "Atan2"), 1),
    **dict.fromkeys(("sqrt", "rsqrt", "log", "reciprocal", "norm"), 0),
    **dict.fromkeys(("acos", "asin", "atanh", "pow", "exp", "softmax"), 0),
    **dict.fromkeys(("div", "divide", "true_divide", "atan2"), 1),
}
# What comes out of these is mostly kept away from zero.
GUARDS = frozenset(("AddV2", "Maximum", "Const", "Cast", "add", "max", "clamp"))
# TensorFlow asks Python for their gradient.
PYTHON = frozenset(("EagerPyFunc",))
# The function of Keras that adds up the penalties of all weights.
PENALTIES = "_get_regularization_losses"


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a variable has no gradient.

    Attributes:
        reason: One of `reasons`.
        places: Where it happens, the most likely `Place` first.
    """

    reason: str
    places: tuple[Place, ...] = ()


def find_causes(flow, variables, layers, functions=()):
    """Finds out why variables have no gradient.

    Args:
        flow: The `Dataflow` of the step.
        variables: Keys of the variables in question.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A dictionary with the `Cause` of each variable. One that is connected
        to the loss can only lack an optimizer.
    """
    used = {value for o in flow.operations for value in o.inputs}
    causes, together = {}, {}
    for variable in variables:
        if not any(variable in d.variables for d in flow.derivatives):
            causes[variable] = Cause(reasons.NOT_ASKED)
        elif used.isdisjoint(flow.values_of(variable)):
            causes[variable] = Cause(reasons.UNUSED)
        else:
            targets = frozenset(flow.targets_for(variable))
            together.setdefault(targets, []).append(variable)
    for targets, group in together.items():
        ways = _Ways(flow, targets, group, layers, functions)
        causes |= {variable: ways.find_cause(variable) for variable in group}
    return causes


def find_uses(flow, variables, layers, functions=()):
    """Finds out where a step uses variables that it asks no gradient of.

    Args:
        flow: The `Dataflow` of the step.
        variables: Keys of the variables in question.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A dictionary with the `Place` where each variable is used first, for
        those that the step could have asked a gradient of.
    """
    targets = {t for d in flow.derivatives for t in d.targets}
    asked = {v for d in flow.derivatives for v in d.variables}
    needed = dataflow.needed_for(flow, targets)
    places = {}
    for variable in set(variables) - asked:
        values = flow.values_of(variable)
        connected = dataflow.follow(flow, needed, values)
        if connected & targets:
            use = dataflow.users_of(needed, values)[0]
            places[variable] = dataclasses.replace(
                locate(use, layers, functions), operation="used", function=""
            )
    return places


def find_failing_gradients(flow, variables, layers, functions=()):
    """Finds the Python functions whose gradient makes a step fail.

    Args:
        flow: The `Dataflow` of the step.
        variables: Keys of the variables to follow.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A dictionary with the `Cause` for each variable that such a function
        lies behind.
    """
    causes = {}
    for variable in variables:
        needed = dataflow.needed_for(flow, flow.targets_for(variable))
        connected = dataflow.follow(flow, needed, flow.values_of(variable))
        guilty = [
            operation
            for operation in dataflow.users_of(needed, connected)
            if operation.kind in PYTHON
        ]
        if guilty:
            causes[variable] = Cause(
                reasons.FAILS,
                tuple(locate(o, layers, functions) for o in guilty),
            )
    return causes


def find_suspects(flow, variables, layers, functions=()):
    """Finds the operations in the user's code that could make NaN.

    Args:
        flow: The `Dataflow` of the step.
        variables: Keys of the variables with such a gradient.
        layers: The layers of the model by name.
        functions: As for `places.locate`.

    Returns:
        A tuple of `Place`: first those between the variables and the loss,
        through which a gradient comes, then those whose result goes in.
    """
    targets = {t for v in variables for t in flow.targets_for(v)}
    values = {value for v in variables for value in flow.values_of(v)}
    needed = dataflow.needed_for(flow, targets)
    connected = dataflow.follow(flow, needed, values)
    between = dataflow.users_of(needed, connected)
    makers = {v: o for o in needed for v in o.outputs}
    places = [
        locate(operation, layers, functions)
        for operation in (*reversed(between), *reversed(needed))
        if _is_risky(operation, makers)
    ]
    return tuple(dict.fromkeys(place for place in places if place.file))


def without_penalties(flow):
    """Returns the dataflow without the penalties on weights."""
    return dataclasses.replace(
        flow,
        operations=tuple(
            operation
            for operation in flow.operations
            if all(frame.name != PENALTIES for frame in operation.frames)
        ),
    )


class _Ways:
    """The ways from some variables to what was differentiated."""

    def __init__(self, flow, targets, variables, layers, functions):
        self._flow = flow
        self._layers, self._functions = layers, functions
        self._needed = dataflow.needed_for(flow, targets)
        self._used = {value for o in self._needed for value in o.inputs}
        self._makers = dataflow.makers_of(self._needed)
        self._connected = dataflow.follow_all(
            flow, self._needed, [flow.values_of(v) for v in variables]
        )
        self._bits = {v: 1 << place for place, v in enumerate(variables)}
        self._targets = targets
        self._places = {}
        self._causes = {}

    def find_cause(self, variable):
        """Returns the `Cause` of a variable that is used."""
        values = self._flow.values_of(variable)
        if self._used.isdisjoint(self._flow.holders):
            return Cause(reasons.IGNORES_MODEL, self._last_place(self._needed))
        if self._used.isdisjoint(values):
            computed = _computed_from(self._flow.operations, values)
            return Cause(reasons.NO_LOSS, self._last_place(computed))
        bit = self._bits[variable]

        def is_connected(value):
            return self._connected.get(value, 0) & bit

        if any(is_connected(target) for target in self._targets):
            return Cause(reasons.NOT_APPLIED)
        key = tuple(
            dataflow.find_cuts(self._makers, is_connected, self._targets)
        )
        if key not in self._causes:
            self._causes[key] = Cause(reasons.CUT, self._places_of(key))
        return self._causes[key]

    def _locate(self, operation):
        if operation not in self._places:
            self._places[operation] = locate(
                operation, self._layers, self._functions
            )
        return self._places[operation]

    def _places_of(self, ends):
        places = {}
        for operation in _likely_first(ends):
            place = self._locate(operation)
            # One function of the user's code may be several operations.
            called = place.function or place.operation
            places.setdefault((called, place.source, place.layer), place)
        return tuple(places.values())

    def _last_place(self, operations):
        """Returns where the last operation in a layer or a user's line is."""
        for operation in reversed(operations):
            place = self._locate(operation)
            if place.layer or place.file:
                return (place,)
        return ()


def _is_risky(operation, makers):
    """Whether nothing keeps an operation from what makes it not finite."""
    place = RISKY.get(operation.kind)
    if place is None or place >= len(operation.inputs):
        return False
    if operation.inputs[place] is None:  # A constant.
        return False
    maker = makers.get(operation.inputs[place])
    return maker is None or maker.kind not in GUARDS


def _likely_first(ends):
    """Leaves out what only looks at shapes, and puts comparisons last."""
    ends = [o for o in ends if o.kind not in SHAPE_READERS] or ends
    # The last of several that make up one function is what it is about.
    return sorted(reversed(ends), key=lambda o: o.kind in COMPARISONS)


def _computed_from(operations, values):
    """Returns the operations that depend on `values` in any way."""
    reached, found = set(values), []
    for operation in operations:
        if not reached.isdisjoint(operation.inputs):
            reached.update(operation.outputs)
            found.append(operation)
    return found
