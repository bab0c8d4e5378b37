import numpy as np
import pytest
from keras import ops

from keras_perceptual import PerceptualLoss
from keras_perceptual.features import FeatureExtractor
from keras_perceptual.losses.presets import PRESETS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pair():
    return np.random.default_rng(0).uniform(size=(2, 1, 32, 32, 3)).astype("f4")


def features(backbone, names, pair, **kwargs):
    """Features of the two images, with channels in front of positions."""
    extractor = FeatureExtractor(backbone, names, weights="random", **kwargs)
    found = extractor(ops.convert_to_tensor(pair[:, 0]))
    for x in (ops.convert_to_numpy(found[name]) for name in names):
        x = x.astype("float64").reshape(2, -1, x.shape[-1])
        yield x.transpose(0, 2, 1)


def value(name, pair):
    return float(PerceptualLoss.preset(name, weights="random")(*pair))


def grams(x):
    return np.einsum("bcn,bdn->bcd", x, x)


@pytest.mark.once
def test_johnson(pair):
    style = ["relu1_2", "relu2_2", "relu3_3", "relu4_3"]
    *_, content = features("vgg16", ["relu3_3"], pair)
    expected = np.mean((content[0] - content[1]) ** 2)
    for x in features("vgg16", style, pair):
        a, b = grams(x / np.sqrt(x[0].size))
        expected += 5 * np.mean((a - b) ** 2)
    assert value("johnson2016_style", pair) == pytest.approx(expected, rel=1e-4)
    (x,) = features("vgg16", ["relu2_2"], pair)
    assert value("johnson2016_super_resolution", pair) == pytest.approx(
        np.mean((x[0] - x[1]) ** 2), rel=1e-4
    )


def test_srgan(pair):
    (x,) = features("vgg19", ["block5_conv4"], pair)
    expected = np.mean((x[0] / 12.75 - x[1] / 12.75) ** 2)
    assert value("srgan_vgg54", pair) == pytest.approx(expected, rel=1e-4)


def test_esrgan(pair):
    (x,) = features("vgg19", ["block5_conv4:before_activation"], pair)
    assert x.min() < 0
    expected = np.mean(np.abs(x[0] - x[1]))
    assert value("esrgan", pair) == pytest.approx(expected, rel=1e-4)


def test_gatys(pair):
    """The sums of the paper; the content as at 512 x 512 pixels."""
    (x,) = features("vgg19", ["relu4_2"], pair, pooling="average")
    sum_of_512 = np.mean((x[0] - x[1]) ** 2) * 512 * 64 * 64
    expected = 1e-3 * sum_of_512 / 2
    style = [f"relu{block}_1" for block in range(1, 6)]
    for x in features("vgg19", style, pair, pooling="average"):
        channels, positions = x[0].shape
        a, b = grams(x)
        energy = np.sum((a - b) ** 2) / (4 * channels**2 * positions**2)
        expected += energy / 5
    assert value("gatys2016", pair) == pytest.approx(expected, rel=1e-4)


def test_pix2pixhd(pair):
    names = [f"relu{block}_1" for block in range(1, 6)]
    expected = sum(
        weight * np.mean(np.abs(x[0] - x[1]))
        for weight, x in zip(
            [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1],
            features("vgg19", names, pair),
            strict=True,
        )
    )
    assert value("pix2pixhd", pair) == pytest.approx(expected, rel=1e-4)


def test_film(pair):
    names = [f"block{block}_conv2" for block in range(1, 6)]
    expected = sum(
        weight * np.mean(np.abs(x[0] - x[1])) / 255
        for weight, x in zip(
            [1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5],
            features("vgg19", names, pair, pooling="average"),
            strict=True,
        )
    )
    assert value("film", pair) == pytest.approx(expected, rel=1e-4)


def test_the_tutorial_of_tensorflow(pair):
    (x,) = features("vgg19", ["block5_conv2"], pair)
    expected = 1e4 * np.mean((x[0] - x[1]) ** 2)
    style = [f"block{block}_conv1" for block in range(1, 6)]
    for x in features("vgg19", style, pair):
        a, b = grams(x) / x.shape[-1]
        expected += 1e-2 / 5 * np.mean((a - b) ** 2)
    found = value("tensorflow_style_transfer", pair)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_plain_configuration(name):
    loss = PerceptualLoss.preset(name, weights="random", value_range=(-1, 1))
    again = PerceptualLoss.from_config(loss.get_config())
    assert again.get_config() == loss.get_config()
    assert again.value_range == (-1, 1)


def test_unknown_presets_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'esrgan'"):
        PerceptualLoss.preset("esrgam")


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("johnson2016_style", (None, 5.0)),
        ("johnson2016_super_resolution", (None, None)),
        ("srgan_vgg54", (1 / 162.5625, None)),
        ("esrgan", (None, None)),
        ("gatys2016", (1048.576, 0.25)),
        ("pix2pixhd", (None, None)),
        ("film", (1 / 255, None)),
        ("tensorflow_style_transfer", (10000.0, 0.01)),
    ],
)
def test_weights_of_terms_that_are_small_in_the_whole(name, weights):
    """A style may be less than the digits of the content beside it."""
    names = "content_weight", "style_weight"
    assert tuple(map(PRESETS[name].get, names)) == weights
    style = PRESETS[name].get("style_layers", {})
    expected = 1.0 if name == "johnson2016_style" else 0.2
    assert all(weight == expected for weight in style.values())
