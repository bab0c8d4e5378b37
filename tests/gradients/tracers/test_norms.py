import keras
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow_only


def test_two_operations_for_each_gradient():
    """More would make the step slower to trace."""
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow.norms import norms

    def operations(count):
        function = tf.function(lambda *gradients: norms(gradients))
        spec = tf.TensorSpec((3,), tf.float32)
        return len(
            function.get_concrete_function(
                *[spec] * count
            ).graph.get_operations()
        )

    # One more is what comes in.
    assert operations(3) - operations(2) == 3


def test_complex_numbers():
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow.norms import norms

    found = norms([tf.constant([3j, 4.0]), tf.constant([1.0])])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), [5.0, 1.0])
