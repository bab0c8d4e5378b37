"""Looking at a model while it trains, from the side."""

import contextlib


@contextlib.contextmanager
def looking(model):
    """Has a model predict in between without what that leaves behind."""
    yield


def is_chief(model):
    """Whether this process is the one of several that writes files."""
    resolver = model.distribute_strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    first = resolver.task_type == "worker" and resolver.task_id == 0
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (first and not has_chief)
