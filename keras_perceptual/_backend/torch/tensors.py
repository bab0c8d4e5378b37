"""What each backend knows of tensors, and small steps that they differ in."""

import torch


def has_values(x):
    """Whether the numbers of `x` can be read now, outside any trace."""
    return not (isinstance(x, torch.Tensor) and x.is_meta)


def can_assign(variable, value):
    """Whether a variable can take a value here without leaking a trace."""
    return True


def is_exported(x):
    """Whether `x` belongs to a trace that is to run elsewhere."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def clamp(x, low, high):
    """Moves what lies outside a range to its end, with the slope 1 there."""
    return torch.clamp(x, low, high)


def choose(condition, yes, no):
    """Returns `yes` where a condition holds and `no` elsewhere, both finite."""
    # `torch.where` takes ten times as long as an addition.
    dtype = next(
        (x.dtype for x in (yes, no) if isinstance(x, torch.Tensor)), torch.int32
    )
    chosen = condition.to(dtype)
    return chosen * yes + (1 - chosen) * no


def take(table, index):
    """Returns the entries of `table` at integers that lie inside it."""
    # Numbers one by one, not in rows: their gradient takes a tenth of the time.
    if table.ndim > 1:
        return torch.stack([take(x, index) for x in table.unbind(-1)], -1)
    return table.index_select(0, index.reshape(-1)).reshape(index.shape)
