"""Looking at a model while it trains, from the side."""

import contextlib

import torch


@contextlib.contextmanager
def looking(model):
    """Has a model predict in between without what that leaves behind.

    Modules of PyTorch go by a mode that is theirs, and draw from a generator
    that all share.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        devices = range(torch.cuda.device_count())
        with torch.no_grad(), torch.random.fork_rng(devices):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def is_chief(model):
    """Whether this process is the one of several that writes files."""
    group = torch.distributed
    if not group.is_available() or not group.is_initialized():
        return True
    return group.get_rank() == 0
