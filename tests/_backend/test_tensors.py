import keras
import numpy as np

from keras_perceptual import _backend


def test_arrays_and_eager_tensors_have_values():
    has_values = _backend.load("tensors").has_values
    assert has_values(np.zeros(2))
    assert has_values([1.0, 2.0])
    assert has_values(keras.ops.zeros(2))


def test_traced_tensors_have_none():
    has_values = _backend.load("tensors").has_values
    seen = []

    def look(x):
        seen.append(has_values(x))
        return x

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.function(look)(tf.zeros(2))
    elif keras.backend.backend() == "jax":
        import jax

        jax.jit(look)(keras.ops.zeros(2))
    else:
        import torch

        look(torch.zeros(2, device="meta"))
    assert seen == [False]
