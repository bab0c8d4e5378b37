"""Loops that do one thing after the other."""


def fold(function, count, state):
    """Returns `function(index, state)`, applied for each index in turn.

    Args:
        function: Function of an integer and the state.
        count: Integer.
        state: Nested structure of tensors.

    Returns:
        The state after the last turn.
    """
    for index in range(count):
        state = function(index, state)
    return state
