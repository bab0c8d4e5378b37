import checks
import keras
import numpy as np
import pytest
import torture
from distortions import distorted
from reference import ssim as reference
from sampling import once, sample

from keras_perceptual.losses import MSSSIMLoss

CONFIGS = [
    {"weights": (0.4, 0.6)},
    {"weights": (0.3, 0.3, 0.4), "filter_size": 5, "filter_sigma": 0.8},
    {"weights": (1.0,), "filter_size": 8, "k1": 0.05, "k2": 0.2},
    {"weights": (0.5, 0.7), "filter_size": 4, "epsilon": 0.02},
]
# From the NumPy twin, of the pictures and their negatives.
GOLDEN = [
    [1.839861, 1.839736],
    [1.765818, 1.765694],
    [0.5979799, 0.5938116],
    [1.891096, 1.890942],
]


def twin(config):
    names = {"filter_size": "size", "filter_sigma": "sigma"}
    return {names.get(name, name): x for name, x in config.items()}


@pytest.fixture
def pair(rng):
    y_true = torture.picture(23, 26)
    noise = rng.uniform(0, 1, y_true.shape)
    return y_true, (0.7 * y_true + 0.3 * noise).astype("float32")


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_equals_the_numpy_twin(pair, config):
    found = checks.image_values(MSSSIMLoss(**config), *pair)
    expected = reference.ms_ssim_loss(*pair, **twin(config))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "golden"), list(zip(CONFIGS, GOLDEN, strict=True)), ids=str
)
def test_golden_values(config, golden):
    image = torture.picture(24, 32)
    found = checks.image_values(MSSSIMLoss(**config), image, 1 - image)
    np.testing.assert_allclose(found, golden, rtol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_default_equals_tensorflow(distortion):
    import tensorflow as tf

    photo, worse = distorted(distortion)
    for x in worse:
        np.testing.assert_allclose(
            1 - MSSSIMLoss()(photo, x),
            tf.image.ssim_multiscale(tf.constant(photo), tf.constant(x), 1)[0],
            atol=1e-5,
        )


@pytest.mark.parametrize("config", once(CONFIGS), ids=str)
def test_contract(pair, config):
    checks.check_loss_contract(MSSSIMLoss(**config), *pair)
    checks.check_image_conventions(
        lambda **arguments: MSSSIMLoss(**config, **arguments), *pair
    )


def test_symmetric(pair):
    loss = MSSSIMLoss((0.4, 0.6))
    np.testing.assert_allclose(
        float(loss(*pair)), float(loss(*pair[::-1])), rtol=1e-5
    )


@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_grows_with_a_distortion(distortion):
    photo, worse = distorted(distortion)
    found = [float(MSSSIMLoss(check_range="off")(photo, x)) for x in worse]
    assert found[0] > 0
    assert np.all(np.diff(found) > 0)


def test_zero_is_the_least(pair):
    """Below epsilon as well, where a product would turn its sign."""
    loss = MSSSIMLoss((0.4, 0.6), filter_size=5, reduction=None)
    for name, y_true, y_pred in torture.pairs(24, 24):
        values = checks.image_values(loss, y_true, y_pred)
        assert np.all(values >= 0), name
        assert np.all(values < 2), name


@pytest.mark.parametrize("config", sample(CONFIGS), ids=str)
def test_finite_differences(pair, config):
    y_true, y_pred = pair
    loss = MSSSIMLoss(**config, value_range=(0, 1.2))
    for x in (y_pred, 1.2 - y_true):
        checks.check_finite_differences(
            lambda x: loss.call(keras.ops.convert_to_tensor(y_true), x)[0],
            x,
            step=2e-3,
        )


@pytest.mark.parametrize("config", once([*CONFIGS[:2], CONFIGS[3]]), ids=str)
def test_a_negative_is_pulled_at(config):
    """Where the product of the terms, clipped at zero, has no slope."""
    x = torture.picture(24, 24)
    loss = MSSSIMLoss(**config)
    values = checks.image_values(loss, x, 1 - x)
    assert np.all(values > 1)
    (gradient,) = checks.gradients(lambda y: loss(x, y), 1 - x)
    assert np.all(np.isfinite(gradient))
    assert all(np.any(np.abs(g) > 1e-5) for g in gradient)


@pytest.mark.parametrize("dtype", sample(torture.DTYPES))
def test_nothing_that_is_not_finite(dtype):
    loss = MSSSIMLoss((0.4, 0.6), filter_size=4, check_range="off", dtype=dtype)
    torture.check_finite(loss, 14, 17, dtypes=[dtype])


def test_half_precision_computes_in_float32(pair):
    half = [keras.ops.cast(x, "bfloat16") for x in pair]
    loss = MSSSIMLoss((0.4, 0.6), reduction=None, dtype="bfloat16")
    found = keras.ops.convert_to_numpy(loss(*half))
    assert found.dtype == "float32"
    rounded = [
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in half
    ]
    expected = reference.ms_ssim_loss(*rounded, (0.4, 0.6))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_config_keeps_every_argument():
    arguments = {
        "weights": [0.25, 0.75],
        "filter_size": 7,
        "filter_sigma": 2.5,
        "k1": 0.02,
        "k2": 0.05,
        "epsilon": 0.01,
        "value_range": [-1.0, 1.0],
        "check_range": "clip",
        "data_format": "channels_first",
        "reduction": "sum",
        "name": "structures",
        "dtype": "float64",
    }
    revived = checks.check_config(MSSSIMLoss(**arguments))
    assert revived.get_config() == arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": ()}, r"`weights`.*one for each scale.*weights=\(\)"),
        ({"weights": 3}, r"`weights`.*one for each scale.*weights=3"),
        ({"weights": (0.5, -1)}, r"`weights`.*at least 0.*weights=-1"),
        ({"filter_size": 0}, r"`filter_size`.*at least 1.*filter_size=0"),
        ({"filter_sigma": 0}, r"`filter_sigma`.*above 0.*filter_sigma=0"),
        ({"k1": 0}, r"`k1`.*above 0. Received: k1=0"),
        ({"k2": -1}, r"`k2`.*above 0. Received: k2=-1"),
        ({"epsilon": 0}, r"`epsilon`.*above 0. Received: epsilon=0"),
        ({"epsilon": 1.5}, r"`epsilon`.*below one.*Received: epsilon=1.5"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MSSSIMLoss(**arguments)


def test_small_images_are_told_how_large_to_be(pair):
    with pytest.raises(
        ValueError,
        match=r"MSSSIMLoss needs images at least 161 pixels high and wide for "
        r"a window of 11 pixels at 5 scales.*`weights` of at most 2 scales.*"
        r"Received: images of shape \(2, 23, 26, 3\)",
    ):
        MSSSIMLoss()(*pair)
    large = np.zeros((1, 161, 161, 1), "float32")
    assert float(MSSSIMLoss()(large, large)) == 0


@pytest.mark.slow
def test_fit_save_and_load(tmp_path, pair):
    model = keras.Sequential(
        [
            keras.layers.Input((23, 26, 3)),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )
    loss = MSSSIMLoss((0.4, 0.6), check_range="off")
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
    checks.check_defaults(MSSSIMLoss)


def test_what_a_mask_hides_may_hold_anything(rng):
    true, pred = rng.uniform(0, 1, (2, 2, 16, 16, 3)).astype("float32")
    checks.check_hidden(
        MSSSIMLoss(weights=(0.5, 0.5), filter_size=3), true, pred
    )
