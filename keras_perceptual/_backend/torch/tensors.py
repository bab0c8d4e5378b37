"""Looking at tensors without computing."""

import torch


def has_values(x):
    """Whether the numbers of `x` can be read now, outside any trace."""
    return not (isinstance(x, torch.Tensor) and x.is_meta)
