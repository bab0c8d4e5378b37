"""Looking at a model while it trains, from the side."""

import contextlib

import jax


@contextlib.contextmanager
def looking(model):
    """Has a model predict in between without what that leaves behind."""
    yield


def is_chief(model):
    """Whether this process is the one of several that writes files."""
    return jax.process_index() == 0
