import checks
import keras
import numpy as np
import pytest
import torture
from distortions import distorted
from reference import focal_frequency as reference
from sampling import sample

from keras_perceptual.losses import FocalFrequencyLoss

CONFIGS = [
    {},
    {"alpha": 0.0},
    {"alpha": 2.5, "patch_factor": 3},
    {"log_matrix": True},
    {"alpha": 0.5, "log_matrix": True, "patch_factor": 2},
]
# From the NumPy twin, of the pictures and their negatives.
GOLDEN = [
    [0.0847667, 0.08458103],
    [0.1232123, 0.122083],
    [0.08363497, 0.08339684],
    [0.092, 0.09145039],
    [0.1052455, 0.1042355],
]


@pytest.fixture
def pair(rng):
    return rng.uniform(0, 1, (2, 3, 12, 18, 3)).astype("float32")


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_equals_the_numpy_twin(pair, config):
    found = checks.image_values(FocalFrequencyLoss(**config), *pair)
    expected = reference.focal_frequency_loss(*pair, **config)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "golden"), list(zip(CONFIGS, GOLDEN, strict=True)), ids=str
)
def test_golden_values(config, golden):
    image = torture.picture(12, 18)
    found = checks.image_values(FocalFrequencyLoss(**config), image, 1 - image)
    np.testing.assert_allclose(found, golden, rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_contract(pair, config):
    checks.check_loss_contract(FocalFrequencyLoss(**config), *pair)
    checks.check_image_conventions(
        lambda **arguments: FocalFrequencyLoss(**config, **arguments), *pair
    )


def test_alpha_of_zero_is_the_mean_squared_error(pair):
    expected = np.mean((pair[0] - pair[1]) ** 2)
    for patch_factor in (1, 2, 3):
        loss = FocalFrequencyLoss(0, patch_factor=patch_factor)
        np.testing.assert_allclose(float(loss(*pair)), expected, rtol=1e-5)


def test_the_worst_frequency_counts_fully_and_the_others_less():
    """Two waves; the one of half the height has half the weight."""
    x = np.arange(16) * 2 * np.pi / 16
    strong, weak = 0.2 * np.cos(3 * x), 0.1 * np.cos(5 * x)
    flat = np.full((1, 16, 16, 1), 0.5, "float32")
    both = flat + (strong + weak)[None, None, :, None].astype("float32")
    expected = np.mean(strong**2) + 0.5 * np.mean(weak**2)
    np.testing.assert_allclose(
        float(FocalFrequencyLoss()(flat, both)), expected, rtol=1e-4
    )


def test_symmetric(pair):
    loss = FocalFrequencyLoss()
    np.testing.assert_allclose(
        float(loss(*pair)), float(loss(*pair[::-1])), rtol=1e-6
    )


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_grows_with_a_distortion(config, distortion):
    photo, worse = distorted(distortion)
    loss = FocalFrequencyLoss(**config, check_range="off")
    found = [float(loss(photo, x)) for x in worse]
    assert found[0] > 0
    assert np.all(np.diff(found) > 0)


@pytest.mark.parametrize("dtype", sample(torture.DTYPES))
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_nothing_that_is_not_finite(config, dtype):
    loss = FocalFrequencyLoss(**config, check_range="off", dtype=dtype)
    torture.check_finite(loss, 6, 12, dtypes=[dtype])


def test_half_precision_computes_in_float32(pair):
    half = [keras.ops.cast(x, "bfloat16") for x in pair]
    loss = FocalFrequencyLoss(reduction=None, dtype="bfloat16")
    found = keras.ops.convert_to_numpy(loss(*half))
    assert found.dtype == "float32"
    rounded = [
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in half
    ]
    expected = reference.focal_frequency_loss(*rounded)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_config_keeps_every_argument():
    arguments = {
        "alpha": 0.5,
        "log_matrix": True,
        "patch_factor": 2,
        "value_range": [-1.0, 1.0],
        "check_range": "clip",
        "data_format": "channels_first",
        "reduction": "sum",
        "name": "spectra",
        "dtype": "float64",
    }
    revived = checks.check_config(FocalFrequencyLoss(**arguments))
    assert revived.get_config() == arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": -1}, r"`alpha`.*at least 0. Received: alpha=-1"),
        ({"patch_factor": 0}, r"`patch_factor`.*at least 1.*patch_factor=0"),
        ({"patch_factor": 1.5}, r"whole number.*Received: patch_factor=1.5"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        FocalFrequencyLoss(**arguments)


def test_images_that_cannot_be_cut_are_refused(pair):
    with pytest.raises(
        ValueError, match=r"FocalFrequencyLoss cuts height and width into 4"
    ):
        FocalFrequencyLoss(patch_factor=4)(*pair)


@pytest.mark.slow
def test_fit_save_and_load(tmp_path, pair):
    model = keras.Sequential(
        [
            keras.layers.Input((12, 18, 3)),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )
    loss = FocalFrequencyLoss(check_range="off")
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
    checks.check_defaults(FocalFrequencyLoss)


def test_what_a_mask_hides_may_hold_anything(rng):
    true, pred = rng.uniform(0, 1, (2, 2, 8, 8, 3)).astype("float32")
    checks.check_hidden(FocalFrequencyLoss(), true, pred)
