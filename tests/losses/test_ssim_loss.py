import checks
import keras
import numpy as np
import pytest
import torture
from distortions import astronaut, distorted
from reference import ssim as reference
from sampling import sample

from keras_perceptual.losses import SSIMLoss

CONFIGS = [
    {},
    {"filter_size": 5, "filter_sigma": 0.8},
    {"filter_size": 8, "filter_sigma": 4.0, "k1": 0.05, "k2": 0.2},
]
# From the NumPy twin, of the pictures and their negatives.
GOLDEN = [
    [1.743123, 1.73969],
    [1.59747, 1.598594],
    [0.9612905, 0.9700116],
]


def twin(config):
    names = {"filter_size": "size", "filter_sigma": "sigma"}
    return {names.get(name, name): x for name, x in config.items()}


@pytest.fixture
def pair(rng):
    y_true = torture.picture(16, 19)
    noise = rng.uniform(0, 1, y_true.shape)
    return y_true, (0.7 * y_true + 0.3 * noise).astype("float32")


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_equals_the_numpy_twin(pair, config):
    found = checks.image_values(SSIMLoss(**config), *pair)
    expected = 1 - reference.ssim(*pair, **twin(config))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "golden"), list(zip(CONFIGS, GOLDEN, strict=True)), ids=str
)
def test_golden_values(config, golden):
    image = torture.picture(16, 24)
    found = checks.image_values(SSIMLoss(**config), image, 1 - image)
    np.testing.assert_allclose(found, golden, rtol=1e-5)


@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_equals_the_operation_of_keras_but_for_its_rounding(distortion):
    if not hasattr(keras.ops.image, "ssim"):
        pytest.skip("This version of Keras has none.")
    photo, worse = distorted(distortion, 64)
    for x in worse:
        np.testing.assert_allclose(
            1 - float(SSIMLoss()(photo, x)),
            float(keras.ops.image.ssim(photo, x)[0]),
            atol=2e-5,
        )


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_contract(pair, config):
    checks.check_loss_contract(SSIMLoss(**config), *pair)
    checks.check_image_conventions(
        lambda **arguments: SSIMLoss(**config, **arguments), *pair
    )


def test_symmetric(pair):
    loss = SSIMLoss()
    np.testing.assert_allclose(
        float(loss(*pair)), float(loss(*pair[::-1])), rtol=1e-5
    )


@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_grows_with_a_distortion(distortion):
    photo, worse = distorted(distortion)
    found = [float(SSIMLoss(check_range="off")(photo, x)) for x in worse]
    assert found[0] > 0
    assert np.all(np.diff(found) > 0)


def test_minds_blur_more_than_brightness():
    """Of two photographs with the same squared error."""
    photo, (*_, blurred) = distorted("blur")
    error = np.sqrt(np.mean((blurred - photo) ** 2))
    loss = SSIMLoss(check_range="off")
    assert float(loss(photo, blurred)) > 3 * float(loss(photo, photo + error))


def test_negatives_are_the_furthest_away():
    """Above one: structures that go against each other."""
    texture = astronaut(64)
    middle = 0.5 + 0.5 * (texture - texture.mean())
    found = float(SSIMLoss(k2=0.001)(middle, 1 - middle))
    assert 1.2 < found < 2


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_finite_differences(pair, config):
    y_true, y_pred = pair
    loss = SSIMLoss(**config, value_range=(0, 1.2))
    checks.check_finite_differences(
        lambda x: loss.call(keras.ops.convert_to_tensor(y_true), x)[0],
        y_pred,
        step=2e-3,
    )


@pytest.mark.parametrize("dtype", sample(torture.DTYPES))
def test_nothing_that_is_not_finite(dtype):
    loss = SSIMLoss(check_range="off", dtype=dtype)
    torture.check_finite(loss, 14, 13, dtypes=[dtype])


def test_half_precision_computes_in_float32(pair):
    half = [keras.ops.cast(x, "bfloat16") for x in pair]
    loss = SSIMLoss(reduction=None, dtype="bfloat16")
    found = keras.ops.convert_to_numpy(loss(*half))
    assert found.dtype == "float32"
    rounded = [
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in half
    ]
    np.testing.assert_allclose(found, 1 - reference.ssim(*rounded), rtol=1e-5)


def test_config_keeps_every_argument():
    arguments = {
        "filter_size": 7,
        "filter_sigma": 2.5,
        "k1": 0.02,
        "k2": 0.05,
        "value_range": [-1.0, 1.0],
        "check_range": "clip",
        "data_format": "channels_first",
        "reduction": "sum",
        "name": "structure",
        "dtype": "float64",
    }
    revived = checks.check_config(SSIMLoss(**arguments))
    assert revived.get_config() == arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filter_size": 0}, r"`filter_size`.*at least 1.*filter_size=0"),
        ({"filter_size": 2.5}, r"whole number.*Received: filter_size=2.5"),
        ({"filter_sigma": 0}, r"`filter_sigma`.*above 0.*filter_sigma=0"),
        ({"k1": 0}, r"`k1`.*above 0. Received: k1=0"),
        ({"k2": -1}, r"`k2`.*above 0. Received: k2=-1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SSIMLoss(**arguments)


def test_images_smaller_than_the_window(pair):
    with pytest.raises(
        ValueError,
        match=r"SSIMLoss needs images at least 11 pixels high and wide.*"
        r"a smaller `filter_size`. Received: images of shape \(2, 10, 19, 3\)",
    ):
        SSIMLoss()(*(x[:, :10] for x in pair))
    assert float(SSIMLoss()(*(x[:, :11, :11] for x in pair))) > 0


def test_fit_save_and_load(tmp_path, pair):
    model = keras.Sequential(
        [
            keras.layers.Input((16, 19, 3)),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )
    loss = SSIMLoss(check_range="off")
    model.compile(keras.optimizers.Adam(0.01), loss=loss)
    history = model.fit(*pair, epochs=8, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == loss.get_config()
    np.testing.assert_allclose(
        loaded.evaluate(*pair, verbose=0),
        model.evaluate(*pair, verbose=0),
        rtol=1e-6,
    )


def test_defaults_are_the_documented_ones():
    checks.check_defaults(SSIMLoss)


def test_what_a_mask_hides_may_hold_anything(rng):
    true, pred = rng.uniform(0, 1, (2, 2, 12, 12, 3)).astype("float32")
    checks.check_hidden(SSIMLoss(filter_size=3), true, pred)
