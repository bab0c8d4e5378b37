import dataclasses
import functools

import checks
import keras
import numpy as np
import pytest
import torture
from distortions import distorted
from reference import golden
from sampling import once, sample

from keras_perceptual import LPIPS

NETS = {"alexnet": "alex", "vgg16": "vgg"}
CONFIGS = [
    {},
    {"backbone": "vgg16"},
    {"linear_heads": False},
    {"weights": "random"},
]


def label(config):
    return "-".join(str(value) for value in config.values()) or "default"


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture
def pair():
    """Two images with edges and texture, and noisy copies of them."""
    images = torture.picture(32, 36)
    noise = np.random.default_rng(1).normal(0, 0.05, images.shape)
    return images, np.clip(images + noise, 0, 1).astype("float32")


@pytest.mark.parametrize("config", once(CONFIGS), ids=label)
def test_contract(config, pair):
    checks.check_loss_contract(LPIPS(**config), *pair)


def test_the_same_picture_in_every_range_and_layout(pair):
    checks.check_image_conventions(LPIPS, *pair)


@functools.cache
def shared(backbone, linear_heads=True):
    """A loss that several tests use."""
    return LPIPS(backbone, linear_heads=linear_heads)


@pytest.mark.parametrize("backbone", NETS)
@pytest.mark.parametrize("photograph", golden.PHOTOGRAPHS)
def test_agrees_with_the_official_package(photograph, backbone):
    net = NETS[backbone]
    loss = shared(backbone)
    keys, true, pred = golden.pairs(photograph)
    terms = [numpy(x) for x in loss.per_layer(true, pred).values()]
    values = numpy(loss.per_image(true, pred))
    plain = numpy(shared(backbone, linear_heads=False).per_image(true, pred))
    np.testing.assert_allclose(
        np.transpose(terms),
        golden.numbers(keys, "packaged", f"lpips_{net}_layers"),
        atol=1e-5,
    )
    for found, key, tolerance in (
        (values, f"lpips_{net}", 1e-5),
        (values, f"torchmetrics_lpips_{net}", 1e-5),
        (plain, f"lpips_{net}_plain", 1e-5),
    ):
        expected = golden.numbers(keys, "packaged", key)
        np.testing.assert_allclose(found, expected, atol=tolerance)
    # What is lost by rounding the weights of VGG16.
    expected = golden.numbers(keys, "original", f"lpips_{net}")
    np.testing.assert_allclose(values, expected, atol=5e-5)


@pytest.mark.parametrize("backbone", NETS)
@pytest.mark.parametrize("photograph", golden.PHOTOGRAPHS)
def test_the_map_agrees_with_the_official_package(photograph, backbone):
    keys, true, pred = golden.pairs(photograph)
    found = numpy(shared(backbone).spatial_map(true, pred))
    height, width = found.shape[1:]
    samples = [
        found.mean((1, 2), dtype="float64"),
        found[:, 0, 0],
        found[:, height // 3, 2 * width // 3],
        found[:, height // 2, width // 2],
        found[:, -1, -1],
    ]
    np.testing.assert_allclose(
        np.transpose(samples),
        golden.numbers(keys, "packaged", f"lpips_{NETS[backbone]}_map"),
        atol=1e-5,
    )


@pytest.mark.slow
@golden.needs_archives
@pytest.mark.parametrize("backbone", NETS)
def test_original_weights_give_the_official_values(backbone, tmp_path):
    path = tmp_path / "weights.npz"
    golden.write_original_weights(backbone, path)
    loss = LPIPS(backbone, weights=path)
    for key, images in golden.all_pairs():
        expected = golden.PAIRS[key]["original"][f"lpips_{NETS[backbone]}"]
        assert float(loss(*images)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", sample(CONFIGS), ids=label)
def test_gradient_agrees_with_finite_differences(config, rng):
    """In float64, where steps are small enough to miss the kinks of ReLU.

    Keras averages in float32 on JAX and PyTorch.
    """
    loss = LPIPS(dtype="float64", **config)
    images, noisy = rng.uniform(size=(2, 1, 32, 32, 3))
    checks.check_finite_differences(
        lambda y_pred: loss(images, y_pred), noisy, step=1e-7, tolerance=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    ["alexnet", pytest.param("vgg16", marks=pytest.mark.once)],
)
def test_no_input_gives_a_gradient_that_is_not_finite(backbone):
    torture.check_finite(LPIPS(backbone, check_range="off"), 36, 33)


@pytest.mark.parametrize("backbone", NETS)
@pytest.mark.parametrize("distortion", sample(["blur", "noise", "jpeg"]))
def test_grows_with_the_distortion_and_is_symmetric(backbone, distortion):
    loss = shared(backbone)
    photo, worse = distorted(distortion, 64)
    values = [float(loss(photo, x)) for x in (photo, *worse)]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[-1] > 2 * values[1] > 0
    swapped = float(loss(worse[2], photo))
    assert swapped == pytest.approx(values[3], rel=1e-5)


def test_no_gradient_flows_to_the_target(pair):
    gradient, _ = checks.gradients(lambda t, p: LPIPS()(t, p), *pair)
    assert gradient is None or not np.any(gradient)


def test_gray_images_are_repeated(pair):
    gray = [x[..., :1] for x in pair]
    assert float(LPIPS()(*gray)) == pytest.approx(
        float(LPIPS()(*[np.repeat(x, 3, -1) for x in gray])), rel=1e-5
    )


def test_a_mask_takes_the_mean_where_it_is(pair):
    true, pred = pair
    loss = LPIPS(weights="random")
    mask = np.zeros(true.shape[:3], "float32")
    assert float(loss((true, mask), pred)) == 0
    everywhere = np.ones_like(mask)
    assert float(loss((true, everywhere), pred)) == pytest.approx(
        float(loss(true, pred)), rel=1e-5
    )
    mask[:, :, :18] = 1
    half = float(loss((true, mask), pred))
    assert half == pytest.approx(float(loss(true, pred, mask)), rel=1e-6)
    assert abs(half / float(loss(true, pred)) - 1) > 1e-3


def test_encoded_targets(pair):
    true, pred = pair
    loss = LPIPS()
    assert float(loss(loss.encode(true), pred)) == pytest.approx(
        float(loss(true, pred)), rel=1e-5
    )
    with pytest.raises(Exception, match="did not encode"):
        LPIPS(weights="random")(loss.encode(true), pred)


def test_half_precision_stays_near(pair):
    exact = float(LPIPS()(*pair))
    for dtype in ("mixed_float16", "mixed_bfloat16"):
        found = float(LPIPS(dtype=dtype)(*pair))
        assert found == pytest.approx(exact, rel=0.05)
        assert found != exact


@pytest.mark.slow
def test_a_model_learns_and_nothing_else_does(pair, tmp_path):
    true, _ = pair
    pred = 0.5 * true
    model = keras.Sequential(
        [
            keras.Input((32, 36, 3)),
            keras.layers.Dense(3, kernel_initializer="identity"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), loss=LPIPS())
    history = model.fit(pred, true, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    model.save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").stat().st_size < 60_000
    revived = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        revived.evaluate(pred, true, verbose=0),
        model.evaluate(pred, true, verbose=0),
        rtol=1e-5,
    )


def test_the_heads_are_the_published_ones():
    heads = LPIPS("vgg16")._distance.heads
    assert [len(x) for x in heads.values()] == [64, 128, 256, 512, 512]
    assert all(np.all(x >= 0) and np.any(x > 0) for x in heads.values())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"backbone": "alex"}, "Did you mean 'alexnet'.*backbone='alex'"),
        ({"backbone": "squeeze"}, "Use one of .*Received: backbone="),
        ({"weights": "imagenet"}, "other channels.*weights='imagenet'"),
        ({"weights": "vgg16.h5"}, "other channels.*weights='vgg16.h5'"),
    ],
)
def test_bad_arguments_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        LPIPS(**arguments)


def test_a_missing_weights_file_is_refused():
    with pytest.raises(FileNotFoundError, match=r"weights='no\.npz'"):
        LPIPS(weights="no.npz")


def test_images_that_are_too_small_are_refused():
    small = np.zeros((1, 30, 64, 3), "float32")
    with pytest.raises(ValueError, match=r"too small for .* 'relu3'"):
        LPIPS()(small, small)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(LPIPS)


@pytest.mark.once
def test_parts_of_features_add_up_to_the_whole(rng):
    loss = LPIPS(weights="random")
    images = rng.uniform(0, 1, (2, 2, 80, 96, 3)).astype("float32")
    checks.check_windows(loss._distance, *images)
    # They hold networks and arrays, and none is equal to another.
    assert len({loss._distance, dataclasses.replace(loss._distance)}) == 2
