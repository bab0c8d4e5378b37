import keras
import numpy as np
import pytest

from keras_perceptual.features.backbones import BACKBONES
from keras_perceptual.features.preprocessing import PREPROCESSING

KERAS_MODULES = {
    "vgg16": keras.applications.vgg16,
    "vgg19": keras.applications.vgg19,
    "inception_v3": keras.applications.inception_v3,
    "resnet50": keras.applications.resnet,
    "mobilenet_v2": keras.applications.mobilenet_v2,
    "efficientnet_b0": keras.applications.efficientnet,
    "convnext_tiny": keras.applications.convnext,
}


def test_every_network_of_keras_applications_is_checked():
    assert set(KERAS_MODULES) == {
        name
        for name, backbone in BACKBONES.items()
        if "imagenet" in backbone.preprocessing
    }


@pytest.mark.parametrize("name", KERAS_MODULES)
@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (0, 255)])
def test_equals_what_keras_applications_does(name, value_range, rng):
    preprocess = PREPROCESSING[BACKBONES[name].preprocessing["imagenet"]]
    pixels = rng.uniform(0, 255, (2, 4, 4, 3)).astype("float32")
    low, high = value_range
    images = keras.ops.convert_to_tensor(low + pixels / 255 * (high - low))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(preprocess(images, value_range)),
        KERAS_MODULES[name].preprocess_input(pixels.copy()),
        rtol=1e-4,
        atol=1e-4,
    )


def test_torch_gives_mean_zero_and_deviation_one():
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    images = np.stack([mean, mean + std]).reshape(2, 1, 1, 3).astype("float32")
    found = PREPROCESSING["torch"](
        keras.ops.convert_to_tensor(images * 255), (0, 255)
    )
    found = keras.ops.convert_to_numpy(found)
    np.testing.assert_allclose(found[0], 0, atol=1e-5)
    np.testing.assert_allclose(found[1], 1, rtol=1e-5)
