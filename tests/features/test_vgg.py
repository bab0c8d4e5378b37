import keras
import numpy as np
import pytest
from sampling import once

from keras_perceptual.features.vgg import build_vgg


@pytest.mark.parametrize(
    ("name", "convolutions"),
    once([("VGG16", (2, 2, 3, 3, 3)), ("VGG19", (2, 2, 4, 4, 4))]),
)
def test_equals_that_of_keras(name, convolutions, rng):
    network = build_vgg(name.lower(), convolutions)
    other = getattr(keras.applications, name)(include_top=False, weights=None)
    names = [layer.name for layer in other.layers][1:]
    assert [layer.name for layer in network.layers][1:] == names
    network.set_weights(other.get_weights())
    images = rng.uniform(size=(1, 33, 40, 3)).astype("float32")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(network(images)),
        keras.ops.convert_to_numpy(other(images)),
        rtol=1e-6,
    )
