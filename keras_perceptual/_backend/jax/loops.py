"""Loops that do one thing after the other."""

import jax


def fold(function, count, state):
    """Returns `function(index, state)`, applied for each index in turn.

    Args:
        function: Function of an integer scalar and the state.
        count: Integer.
        state: Nested structure of tensors, whose shapes and types stay.

    Returns:
        The state after the last turn.
    """
    return jax.lax.fori_loop(0, count, function, state)
