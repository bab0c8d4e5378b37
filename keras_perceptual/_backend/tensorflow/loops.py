"""Loops that do one thing after the other."""

import tensorflow as tf


def fold(function, count, state):
    """Returns `function(index, state)`, applied for each index in turn.

    No turn begins before the last one has ended, so that what one needs in
    memory is free for the next.

    Args:
        function: Function of an integer scalar tensor and the state.
        count: Integer, or integer scalar tensor.
        state: Nested structure of tensors, whose shapes and types stay.

    Returns:
        The state after the last turn.
    """
    _, state = tf.while_loop(
        lambda index, _: index < count,
        lambda index, state: (index + 1, function(index, state)),
        (tf.constant(0), state),
        parallel_iterations=1,
    )
    return state
