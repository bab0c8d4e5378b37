"""Networks of keras-hub, small ones: with it, nothing is downloaded here.

Its import takes seconds, and the first thing that needs it waits for that.
"""

import sys

import keras
import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual.features import hub
from keras_perceptual.features.hub import build_dinov2

SMALL = {"hidden_dim": 16, "num_heads": 2, "intermediate_dim": 24}


@pytest.fixture
def small(monkeypatch):
    """Makes the network a small one, of four patches a side."""
    pytest.importorskip("keras_hub")
    monkeypatch.setattr(hub, "BLOCKS", 2)
    monkeypatch.setattr(hub, "PATCH", 56)
    monkeypatch.setitem(hub.DINOV2, "dinov2_small", SMALL)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match=r"pip install keras-hub.*Received"):
        build_dinov2("dinov2_small")


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("registers", [0, 3])
def test_taps_are_the_tokens_of_the_patches(small, registers, rng):
    """Not those of the class and of registers, which have no place."""
    from keras_hub.models import DINOV2Backbone

    network = build_dinov2("dinov2_small", num_register_tokens=registers)
    assert network.input_shape == (None, None, None, 3)
    assert [x.shape[1:] for x in network.outputs] == 3 * [(4, 4, 16)]
    original = DINOV2Backbone(
        56,
        2,
        **SMALL,
        num_register_tokens=registers,
        image_shape=(224, 224, 3),
    )
    original.set_weights(network.get_weights())
    images = rng.uniform(size=(2, 224, 224, 3)).astype("float32")
    tokens = numpy(original({"images": images}))[:, 1 + registers :]
    found = numpy(network(images)[-1]).reshape(2, 16, 16)
    np.testing.assert_allclose(found, tokens, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_is_a_backbone_by_name(small, rng):
    """Of images of any size, with masks, maps and gradients."""
    taps = ["block1", "norm"]
    loss = kp.PerceptualLoss("dinov2_small", taps, weights="random")
    images = rng.uniform(size=(2, 2, 40, 52, 3)).astype("float32")
    assert float(loss(images[0], images[0])) == 0
    found = loss.per_layer(*images)
    assert set(found) == {f"content/{tap}" for tap in taps}
    mask = np.ones((2, 40, 52), "float32")
    np.testing.assert_allclose(
        numpy(loss.per_image((images[0], mask), images[1])),
        numpy(loss.per_image(*images)),
        rtol=1e-4,
    )
    assert loss.spatial_map(*images).shape == (2, 40, 52)
    model = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Dense(3)]
    )
    model.compile("sgd", loss)
    before = model.get_weights()
    model.fit(*images, verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])
    revived = kp.PerceptualLoss.from_config(loss.get_config())
    assert float(revived(*images)) == float(loss(*images))
    with pytest.raises(ValueError, match=r"\['keras_hub', 'random'\]\. Rec"):
        kp.PerceptualLoss("dinov2_small", weights="imagenet")


@pytest.mark.slow
def test_takes_the_weights_of_the_preset(small, monkeypatch, rng):
    from keras_hub.models import DINOV2Backbone

    asked = []

    def from_preset(name, **settings):
        asked.append((name, settings["image_shape"]))
        if len(asked) > 1:
            raise ValueError("no connection")
        return DINOV2Backbone(56, 2, **SMALL, **settings)

    monkeypatch.setattr(DINOV2Backbone, "from_preset", from_preset)
    loss = kp.PerceptualLoss("dinov2_small")
    assert asked == [("dinov2_small", (224, 224, 3))]
    assert loss._distance.extractor.layers == ("norm",)
    with pytest.raises(ConnectionError, match=r"kagglehub.*no connection"):
        kp.PerceptualLoss("dinov2_small")


@pytest.mark.slow
def test_a_model_of_keras_hub_is_a_backbone(small, rng):
    """Its last layer is the tap, and it keeps the size of its images."""
    from keras_hub.models import DINOV2Backbone

    network = DINOV2Backbone(7, 1, **SMALL, image_shape=(28, 28, 3))
    loss = kp.PerceptualLoss(network)
    images = rng.uniform(size=(2, 2, 28, 28, 3)).astype("float32")
    x, y = (numpy(network({"images": x})) for x in images)
    np.testing.assert_allclose(
        float(loss(*images)), np.mean((x - y) ** 2), rtol=1e-4
    )
