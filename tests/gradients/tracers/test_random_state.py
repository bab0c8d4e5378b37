import random

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def random_numbers_kept():
    from keras_perceptual.gradients.tracers.tensorflow import random_state

    return random_state.random_numbers_kept


def start():
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    generator = tf.random.Generator.from_seed(3)
    tf.random.set_global_generator(generator)


def draw():
    import tensorflow as tf

    return [
        random.random(),
        np.random.rand(),  # noqa: NPY002
        float(tf.random.uniform(())),
        float(tf.random.uniform((), seed=5)),
        float(tf.random.get_global_generator().uniform(())),
    ]


def test_numbers_to_come_are_the_same(random_numbers_kept):
    start()
    draw()
    expected = draw()
    start()
    draw()
    with random_numbers_kept():
        inside = draw(), draw()
    assert draw() == expected
    # They are random nevertheless.
    assert all(a != b for a, b in zip(*inside, strict=True))


def test_also_after_an_error(random_numbers_kept):
    random.seed(1)
    expected = random.random()
    random.seed(1)
    with pytest.raises(KeyError), random_numbers_kept():
        random.random()
        raise KeyError
    assert random.random() == expected


def test_no_generator_is_left_where_none_was(random_numbers_kept, monkeypatch):
    import tensorflow as tf
    from tensorflow.python.ops import stateful_random_ops

    monkeypatch.setattr(stateful_random_ops, "global_generator", None)
    with random_numbers_kept():
        tf.random.get_global_generator().uniform(())
    assert stateful_random_ops.global_generator is None
