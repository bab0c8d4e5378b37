import checks
import keras
import numpy as np
import pytest
import torture
from sampling import once

from keras_perceptual import WaveletLoss
from keras_perceptual.ops.wavelets import stationary_wavelets

CONFIGS = [
    {},
    {"wavelet": "db2", "levels": 2, "luma": False, "detail_weight": 0.5},
]


@pytest.fixture
def pair(rng):
    return rng.uniform(0, 1, (2, 2, 12, 17, 3)).astype("float32")


@pytest.mark.parametrize("config", once(CONFIGS), ids=str)
def test_contract(config, pair):
    checks.check_loss_contract(WaveletLoss(**config), *pair)


@pytest.mark.once
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_same_picture_in_every_range_and_layout(config, pair):
    checks.check_image_conventions(
        lambda **arguments: WaveletLoss(**config, **arguments), *pair
    )


def test_no_input_gives_a_gradient_that_is_not_finite():
    loss = WaveletLoss(check_range="off")
    torture.check_finite(loss, 8, 7, dtypes=("float32",))


def test_is_the_weighted_sum_over_the_bands(pair):
    """Of the details of all levels, and the smooth image of the last."""
    weights = {
        "approximation_weight": 0.7,
        "detail_weight": 0.2,
        "diagonal_weight": 0.4,
    }
    loss = WaveletLoss("db2", levels=2, luma=False, **weights)
    bands = stationary_wavelets(
        keras.ops.convert_to_tensor(pair[0] - pair[1]), "db2", 2
    )
    sizes = [
        [np.abs(keras.ops.convert_to_numpy(x)).mean((1, 2, 3)) for x in level]
        for level in bands
    ]
    expected = 0.7 * sizes[1][0]
    for _, horizontal, vertical, diagonal in sizes:
        expected += 0.2 * (horizontal + vertical) + 0.4 * diagonal
    np.testing.assert_allclose(
        checks.image_values(loss, *pair), expected, rtol=1e-5
    )


@pytest.mark.once
def test_is_what_the_authors_train_with(pair):
    """On the luma from 16 to 235, with filters of another scale."""
    luma = (
        219 * (pair[0] - pair[1]) @ [65.481 / 219, 128.553 / 219, 24.966 / 219]
    )
    (bands,) = stationary_wavelets(
        keras.ops.convert_to_tensor(luma[..., None].astype("float32")), "sym7"
    )
    sizes = [float(keras.ops.mean(keras.ops.abs(x))) for x in bands]
    # Their low-pass filter has the sum 1, their high-pass filter that of
    # PyWavelets, which is longer by the root of 2 than here.
    scales = (1, np.sqrt(2), np.sqrt(2), 2)
    weights = (0.1, 0.01, 0.01, 0.05)
    expected = np.dot(np.multiply(scales, weights), sizes)
    np.testing.assert_allclose(
        21.9 * float(WaveletLoss()(*pair)), expected, rtol=2e-4
    )


def test_gray_images_of_three_channels_are_those_of_one(pair):
    gray = pair[..., :1]
    np.testing.assert_allclose(
        checks.image_values(WaveletLoss(), *np.repeat(gray, 3, axis=-1)),
        checks.image_values(WaveletLoss(), *gray),
        rtol=1e-5,
    )


def test_what_cannot_be_compared_is_refused(pair):
    small = pair[:, :, :6]
    with pytest.raises(ValueError, match=r"at least 7 .*wavelet='sym7'"):
        WaveletLoss()(*small)
    WaveletLoss("haar", levels=3)(*small)
    with pytest.raises(ValueError, match="with 1 or 3 channels"):
        WaveletLoss()(*pair[..., :2])
    WaveletLoss(luma=False)(*pair[..., :2])
    with pytest.raises(ValueError, match="detail_weight=0, diagonal_weight=0"):
        WaveletLoss(approximation_weight=0, detail_weight=0, diagonal_weight=0)
    for config in ({"wavelet": "db3"}, {"levels": 9}, {"detail_weight": -1}):
        ((name, value),) = config.items()
        with pytest.raises(ValueError, match=rf"Received: {name}={value!r}"):
            WaveletLoss(**config)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(WaveletLoss)
