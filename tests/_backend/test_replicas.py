import keras
import pytest

from keras_perceptual import _backend

replicas = _backend.load("replicas")


def test_there_is_one_device_and_nothing_to_add_up():
    assert replicas.count() == 1
    assert replicas.total(keras.ops.ones(2)) is None


@pytest.mark.tensorflow_only
def test_a_strategy_counts_its_devices_and_adds_up_in_its_steps():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        assert replicas.count() == 1
        # Between the steps no device is computing.
        assert replicas.total(tf.ones(2)) is None
    assert strategy.run(lambda: replicas.count()) == 1
