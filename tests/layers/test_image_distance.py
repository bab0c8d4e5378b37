import exports
import keras
import numpy as np
import pytest
from forgetting import forgetting
from reference import golden, photographs
from sampling import once

import keras_perceptual as kp

BACKEND = keras.backend.backend()
# What each backend of Keras can export, and whether to sizes left open.
FORMATS = {
    "tensorflow": ["saved_model", "litert", "onnx"],
    "jax": ["saved_model"],
    "torch": ["torch_program", "onnx"],
}[BACKEND]
LOSSES = {
    "lpips_alex": lambda: kp.LPIPS("alexnet"),
    "lpips_vgg": lambda: kp.LPIPS("vgg16"),
    "dists_pytorch": kp.DISTS,
}
# But for a second network of VGG16's size: what tf2onnx makes of one on its way
# fills four gigabytes.
EXPORTS = [
    (key, form)
    for key in LOSSES
    for form in FORMATS
    if (BACKEND, key, form) != ("tensorflow", "lpips_vgg", "onnx")
]


def is_large(export):
    """Whether it is not of AlexNet: for sorting."""
    return export[0] != "lpips_alex"


def make_model(loss, size=(None, None)):
    """Returns a model of a pair of images, called once as ONNX wants it."""
    pair = [keras.Input((*size, 3), name=x) for x in ("reference", "image")]
    model = keras.Model(pair, kp.ImageDistance(loss)(pair))
    model([keras.ops.zeros((1, *(x or 64 for x in size), 3))] * 2)
    return model


@pytest.fixture
def room():
    """A network and what becomes of it in a converter fill gigabytes."""
    with forgetting():
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "form"), once(sorted(EXPORTS, key=is_large), but=len(FORMATS))
)
def test_exported_losses_give_the_official_numbers(key, form, tmp_path, room):
    """As a graph of two images, run where neither Keras nor this package is."""
    keys, y_true, y_pred = golden.pairs("astronaut_64x64")
    images = [np.float32(y_true), np.float32(y_pred)]
    # Only TensorFlow's exports leave the sizes open.
    size = (None, None) if BACKEND == "tensorflow" else y_true.shape[1:3]
    loss = LOSSES[key]()
    model = make_model(loss, size)
    inputs = images if form == "torch_program" else []
    run = getattr(exports, f"export_{form}")(model, tmp_path, *inputs)
    found = run(*images)
    assert found.shape == (len(photographs.DISTORTIONS),)
    np.testing.assert_allclose(
        found, golden.numbers(keys, "packaged", key), atol=1e-5
    )
    expected = keras.ops.convert_to_numpy(loss.per_image(*images))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "form"),
    [
        pytest.param(size, form, marks=[pytest.mark.slow][: size == "full"])
        for size in ("small", "full")
        for form in FORMATS
    ],
)
def test_the_distance_that_people_see_is_a_graph_of_its_own(
    size, form, tmp_path, room
):
    """Moments, colors and all, to the last digits; the small one is small."""
    images = [np.float32(x) for x in photographs.pair("rocket_75x101", "blur")]
    sides = (None, None) if BACKEND == "tensorflow" else images[0].shape[1:3]
    loss = kp.PerceivedDistance(size=size)
    inputs = images if form == "torch_program" else []
    model = make_model(loss, sides)
    run = getattr(exports, f"export_{form}")(model, tmp_path, *inputs)
    expected = keras.ops.convert_to_numpy(loss.per_image(*images))
    np.testing.assert_allclose(run(*images), expected, rtol=0, atol=2e-6)
    if size == "small" and form in ("litert", "onnx"):
        (file,) = tmp_path.glob("model.*")
        assert file.stat().st_size < 1.5e6


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_model_of_a_loss_is_saved_and_loaded(rng, tmp_path, policy):
    """In full precision, whatever the layer's policy."""
    images = rng.uniform(-3, 3, (2, 2, 16, 16, 3)).astype("float32")
    loss = kp.SobelGradientLoss(check_range="clip")
    pair = [keras.Input((16, 16, 3)) for _ in range(2)]
    distance = kp.ImageDistance(loss, dtype=policy)
    model = keras.Model(pair, distance(pair))
    found = model.predict(list(images), verbose=0)
    expected = keras.ops.convert_to_numpy(
        kp.SobelGradientLoss().per_image(*np.clip(images, 0, 1))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert model.output_shape == (None,)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(list(images), verbose=0), found)


def test_the_network_is_saved_with_the_layer_and_stays_as_it_is(tmp_path):
    loss = kp.LPIPS("alexnet", weights="random")
    model = make_model(loss)
    assert len(model.weights) == 10
    assert not model.trainable_weights
    model.trainable = True
    assert not model.trainable_weights
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).uniform(size=(2, 2, 64, 64, 3))
    np.testing.assert_array_equal(
        again.predict(list(images), verbose=0),
        model.predict(list(images), verbose=0),
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((1, 8, 8, 3)), r"a list of the two\. Received: inputs="),
        (
            [np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 9, 3))],
            r"same shape.*Received: y_true.shape=\(1, 8, 8, 3\)",
        ),
        ([np.zeros((1, 8, 8))] * 2, r"Received: y_true.shape=\(1, 8, 8\)"),
    ],
)
def test_what_cannot_be_compared_is_refused(inputs, message):
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        kp.ImageDistance(kp.SobelGradientLoss())(inputs)


def test_other_losses_are_refused():
    with pytest.raises(ValueError, match=r"Give it one.*Received: loss="):
        kp.ImageDistance(keras.losses.MeanSquaredError())
