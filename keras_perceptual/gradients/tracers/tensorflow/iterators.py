"""Batches that are taken from an iterator before a step, and given back."""

import contextlib
import functools
import itertools
from typing import Any

import tensorflow as tf


def take_ahead(
    arguments: tuple[Any, ...], count: int
) -> tuple[list[Any], tuple[Any, ...]]:
    """Returns the batches of the next step, and arguments with them.

    Args:
        arguments: What Keras calls the train function with.
        count: How many batches a step takes.
    """
    (iterator,) = arguments
    if isinstance(iterator, tf.distribute.DistributedIterator):
        return [], arguments
    batches = list(itertools.islice(iterator, count))
    if batches:
        arguments = (batches_again(batches, iterator),)
    return batches, arguments


def batches_again(batches: Any, iterator: Any) -> Any:
    """Returns an iterator like another one, over batches taken from it."""
    if isinstance(iterator, tf.data.Iterator):
        # Where it has another signature, the step would be traced again.
        with contextlib.suppress(Exception):
            dataset = functools.reduce(
                tf.data.Dataset.concatenate,
                map(tf.data.Dataset.from_tensors, batches),
            )
            # Whoever deletes one that is tuned waits for a thread of it.
            options = tf.data.Options()
            options.autotune.enabled = False
            return iter(
                tf.data.experimental.from_variant(
                    tf.data.experimental.to_variant(
                        dataset.with_options(options)
                    ),
                    iterator.element_spec,
                )
            )
    return iter(batches)


def as_in_a_step(batch: Any) -> Any:
    """Returns a batch as Keras hands it to a step, `None` for an optional."""
    return tf.nest.map_structure(
        lambda part: (
            None if isinstance(part, tf.experimental.Optional) else part
        ),
        batch,
    )
