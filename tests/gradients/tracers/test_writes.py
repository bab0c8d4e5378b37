import keras
import pytest

pytestmark = pytest.mark.tensorflow_only

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow.writes import (
        writes_put_back,
    )


def test_whatever_is_written_to_is_put_back():
    native, own = tf.Variable([1.0, 2.0]), keras.Variable(3.0)
    assign = type(native).assign
    with writes_put_back():
        native.assign([5.0, 5.0])
        native.assign_add([1.0, 1.0])
        own.assign(7.0)
        assert float(own) == 7
    assert native.numpy().tolist() == [1, 2]
    assert float(own) == 3
    assert type(native).assign is assign


def test_also_where_it_fails():
    variable = tf.Variable(1.0)
    with pytest.raises(RuntimeError, match="no"), writes_put_back():
        variable.assign_sub(4.0)
        raise RuntimeError("no")
    assert float(variable) == 1
