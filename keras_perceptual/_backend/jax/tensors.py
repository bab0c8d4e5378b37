"""What each backend knows of tensors, and small steps that they differ in."""

import jax
import jax.numpy as jnp


def has_values(x):
    """Whether the numbers of `x` can be read now, outside any trace."""
    return not isinstance(x, jax.core.Tracer)


def can_assign(variable, value):
    """Whether a variable can take a value here without leaking a trace.

    Inside a trace that Keras knows of, a variable stands for a traced value.
    """
    return has_values(value) or not has_values(variable)


def is_exported(x):
    """Whether `x` belongs to a trace that is to run elsewhere."""
    return not all(isinstance(size, int) for size in x.shape)


def clamp(x, low, high):
    """Moves what lies outside a range to its end, with the slope 1 there."""
    # The slope of `clip` at the ends is a half here.
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def choose(condition, yes, no):
    """Returns `yes` where a condition holds and `no` elsewhere, both finite."""
    return jnp.where(condition, yes, no)


def take(table, index):
    """Returns the entries of `table` at integers that lie inside it."""
    return table.at[index].get(mode="promise_in_bounds")
