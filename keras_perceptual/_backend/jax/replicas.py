"""The devices among which the batch of a step is shared out."""


def count():
    """Returns among how many devices the batch of a step is shared out.

    JAX shares out arrays and computes as if there were one.
    """
    return 1


def total(x):
    """Returns `None`: there is nothing to add up."""
    return None
