"""Drawing random numbers without taking them from anybody, for TensorFlow."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_perceptual.gradients.patches import intercepted


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Puts the random numbers to come back as they were.

    Those of Keras are drawn from variables, which are the caller's to put back.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    own = random.Random(0)

    # Each operation of TensorFlow holds the state of the numbers it draws. With
    # seeds of their own, other operations run than those of the user.
    def get_seed(original: Any, op_seed: Any) -> Any:
        if not tf.executing_eagerly():
            return original(op_seed)
        return own.randrange(1, 2**31 - 1), own.randrange(1, 2**31 - 1)

    from tensorflow.python.framework import random_seed

    try:
        with (
            _global_generator_kept(),
            intercepted(random_seed, "get_seed", get_seed),
        ):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


@contextlib.contextmanager
def _global_generator_kept() -> Iterator[None]:
    """Puts the state of the generator of all TensorFlow back, if it has one."""
    # The public function would make one.
    from tensorflow.python.ops import stateful_random_ops

    generator = stateful_random_ops.global_generator
    state = None if generator is None else tf.identity(generator.state)
    try:
        yield
    finally:
        if state is not None:
            generator.state.assign(state)
        else:
            stateful_random_ops.global_generator = None
