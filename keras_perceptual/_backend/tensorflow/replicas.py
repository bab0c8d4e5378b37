"""The devices among which the batch of a step is shared out."""

import tensorflow as tf


def count():
    """Returns among how many devices the batch of a step is shared out."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def total(x):
    """Returns the sum of a tensor over all devices, of all machines.

    Every device has to ask. `None` where there is nothing to add up: outside
    the step of a `tf.distribute.Strategy`, or in a function or branch of its
    own inside it, where TensorFlow lets no device wait for the others.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    try:
        return context.all_reduce(tf.distribute.ReduceOp.SUM, x)
    except RuntimeError as error:
        if "merge_call" not in str(error):
            raise
        return None
