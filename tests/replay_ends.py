"""Where gradients end in a replay, in the plainest way to find that out."""

import linecache


def values_of(replay, variable):
    return [k for k, v in replay.holders.items() if v == id(variable)]


def gradients_of(replay, variable, derivative=-1):
    """Returns the `Numbers` of the gradients that a variable has."""
    gradients = replay.derivatives[derivative].gradients
    keys = values_of(replay, variable)
    return [gradients[key] for key in keys if key in gradients]


def depending_on(replay, variable):
    """Returns keys of all that is computed with a variable."""
    reached = set(values_of(replay, variable))
    for operation in replay.operations:
        if not reached.isdisjoint(operation.inputs):
            reached.update(operation.outputs)
    return reached


def needed_for(replay, keys):
    """Returns the operations that values are computed by."""
    wanted, found = set(keys), []
    for operation in reversed(replay.operations):
        if not wanted.isdisjoint(operation.outputs):
            wanted.update(operation.inputs)
            found.append(operation)
    return found[::-1]


def ends_of(replay, variable, derivative=-1):
    """Returns the operations that something comes back to, and hand on none.

    Of what goes into them, something depends on the variable.
    """
    derivative = replay.derivatives[derivative]
    reached = depending_on(replay, variable)
    return [
        operation
        for operation in needed_for(replay, derivative.targets)
        if not derivative.gradients.keys().isdisjoint(operation.outputs)
        and (behind := reached.intersection(operation.inputs))
        and derivative.gradients.keys().isdisjoint(behind)
    ]


def line_of(operation, file):
    """Returns the line of a file that an operation was called in last."""
    frames = [f for f in operation.frames if f.filename == file]
    return linecache.getline(file, frames[-1].lineno).strip() if frames else ""


def find(replay, kind):
    """Returns the operations of a kind."""
    return [o for o in replay.operations if o.kind == kind]
