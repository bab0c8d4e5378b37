"""What each backend knows of tensors, and small steps that they differ in."""

import tensorflow as tf


def has_values(x):
    """Whether the numbers of `x` can be read now, outside any trace."""
    return not tf.is_symbolic_tensor(x)


def can_assign(variable, value):
    """Whether a variable can take a value here without leaking a trace."""
    return True


def is_exported(x):
    """Whether `x` belongs to a trace that is to run elsewhere."""
    return False  # Graphs are the same here and elsewhere.


def clamp(x, low, high):
    """Moves what lies outside a range to its end, with the slope 1 there."""
    return tf.clip_by_value(x, low, high)


def choose(condition, yes, no):
    """Returns `yes` where a condition holds and `no` elsewhere, both finite."""
    return tf.where(condition, yes, no)


def take(table, index):
    """Returns the entries of `table` at integers that lie inside it."""
    return tf.gather(table, index)
