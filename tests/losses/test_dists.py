import dataclasses

import checks
import keras
import numpy as np
import pytest
import torture
from distortions import distorted
from reference import golden
from sampling import rarely, sample

from keras_perceptual import DISTS
from keras_perceptual.losses.dists import CHANNELS

CONFIGS = [{}, {"weights": "random"}, {"resize": 20}]


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def label(config):
    return "-".join(str(value) for value in config.values()) or "default"


@pytest.fixture(scope="module")
def dists():
    return DISTS()


@pytest.fixture
def pair():
    """Two images with edges and texture, and noisy copies of them."""
    images = torture.picture(30, 26)
    noise = np.random.default_rng(1).normal(0, 0.05, images.shape)
    return images, np.clip(images + noise, 0, 1).astype("float32")


@pytest.mark.parametrize(
    "config",
    [
        rarely(CONFIGS[0]),
        CONFIGS[1],
        pytest.param(CONFIGS[2], marks=[pytest.mark.slow, pytest.mark.once]),
    ],
    ids=label,
)
def test_contract(config, pair):
    checks.check_loss_contract(DISTS(**config), *pair)


@pytest.mark.once
@pytest.mark.slow
def test_the_same_picture_in_every_range_and_layout(pair):
    checks.check_image_conventions(DISTS, *pair)


@pytest.mark.parametrize("photograph", golden.PHOTOGRAPHS)
def test_agrees_with_the_official_packages(photograph, dists):
    keys, true, pred = golden.pairs(photograph)
    values = numpy(dists.per_image(true, pred))
    for kind, package, tolerance in (
        ("packaged", "dists_pytorch", 1e-5),
        ("packaged", "torchmetrics_dists", 1e-5),
        # What is lost by rounding the weights of VGG16.
        ("original", "dists_pytorch", 1e-4),
    ):
        expected = golden.numbers(keys, kind, package)
        np.testing.assert_allclose(values, expected, atol=tolerance)
    shares = dists.per_layer(true, pred)
    assert list(shares) == list(CHANNELS)
    shares = np.array([numpy(x) for x in shares.values()])
    assert np.all(shares > 0)
    np.testing.assert_allclose(shares.sum(0), values, rtol=1e-5)


@pytest.mark.parametrize("photograph", golden.PHOTOGRAPHS)
def test_shrunk_images_agree_with_piq(photograph):
    keys, true, pred = golden.pairs(photograph)
    np.testing.assert_allclose(
        numpy(DISTS(resize=256).per_image(true, pred)),
        golden.numbers(keys, "packaged", "piq_dists"),
        atol=1e-5,
    )


@pytest.mark.slow
@golden.needs_archives
def test_original_weights_give_the_official_values(tmp_path):
    path = tmp_path / "weights.npz"
    golden.write_original_weights("vgg16", path)
    loss = DISTS(weights=path)
    for key, images in golden.all_pairs():
        expected = golden.PAIRS[key]["original"]["dists_pytorch"]
        assert float(loss(*images)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_gradient_agrees_with_finite_differences(config, rng):
    """In float64, where steps are small enough to miss the kinks of ReLU.

    Keras averages in float32 on JAX and PyTorch.
    """
    loss = DISTS(dtype="float64", **config)
    images, noisy = rng.uniform(size=(2, 1, 32, 32, 3))
    checks.check_finite_differences(
        lambda y_pred: loss(images, y_pred), noisy, step=1e-7, tolerance=1e-4
    )


@pytest.mark.slow
def test_no_input_gives_a_gradient_that_is_not_finite():
    torture.check_finite(DISTS(check_range="off"), 36, 33)


@pytest.mark.parametrize("distortion", sample(["blur", "noise", "jpeg"]))
def test_grows_with_the_distortion_and_is_symmetric(distortion, dists):
    photo, worse = distorted(distortion, 64)
    values = [float(dists(photo, x)) for x in (photo, *worse)]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[-1] > 2 * values[1] > 0
    swapped = float(dists(worse[2], photo))
    assert swapped == pytest.approx(values[3], rel=1e-5)


def test_the_same_texture_elsewhere_is_near(dists):
    skimage_data = pytest.importorskip("skimage.data")
    gravel = skimage_data.gravel()[None, :, :, None].astype("float32") / 255
    first, other = gravel[:, :128, :128], gravel[:, 200:328, 300:428]
    flat = np.full_like(first, first.mean())
    assert float(dists(first, other)) < 0.4 * float(dists(first, flat))


def test_no_gradient_flows_to_the_target(pair, dists):
    gradient, _ = checks.gradients(lambda t, p: dists(t, p), *pair)
    assert gradient is None or not np.any(gradient)


def test_gray_images_are_repeated(pair, dists):
    gray = [x[..., :1] for x in pair]
    assert float(dists(*gray)) == pytest.approx(
        float(dists(*[np.repeat(x, 3, -1) for x in gray])), rel=1e-5
    )


@pytest.mark.slow
@pytest.mark.once
def test_a_mask_takes_the_statistics_where_it_is(pair):
    true, pred = pair
    loss = DISTS(weights="random")
    mask = np.zeros(true.shape[:3], "float32")
    assert float(loss((true, mask), pred)) == 0
    everywhere = np.ones_like(mask)
    assert float(loss((true, everywhere), pred)) == pytest.approx(
        float(loss(true, pred)), rel=1e-4
    )
    mask[:, :, :13] = 1
    half = float(loss((true, mask), pred))
    assert half == pytest.approx(float(loss(true, pred, mask)), rel=1e-6)
    assert abs(half / float(loss(true, pred)) - 1) > 1e-3
    # The image itself is compared nowhere else.
    hidden = pred.copy()
    hidden[:, :, 13:] = 0.5
    assert float(loss.per_layer((true, mask), hidden)["image"][0]) == (
        float(loss.per_layer((true, mask), pred)["image"][0])
    )


def test_encoded_targets(pair):
    true, pred = pair
    loss = DISTS(resize=20)
    encoded = loss.encode(true)
    assert float(loss(encoded, pred)) == pytest.approx(
        float(loss(true, pred)), rel=1e-5
    )
    with pytest.raises(Exception, match="did not encode"):
        DISTS(resize=21)(encoded, pred)


def test_there_is_no_map(pair, dists):
    with pytest.raises(ValueError, match=r"statistics .* the map of `LPIPS`"):
        dists.spatial_map(*pair)


def test_half_precision_stays_near(pair, dists):
    exact = float(dists(*pair))
    for dtype in ("mixed_float16", "mixed_bfloat16"):
        found = float(DISTS(dtype=dtype)(*pair))
        assert found == pytest.approx(exact, rel=0.05)
        assert found != exact


@pytest.mark.slow
def test_a_model_learns_and_nothing_else_does(pair, dists, tmp_path):
    true, _ = pair
    pred = 0.5 * true
    model = keras.Sequential(
        [
            keras.Input((30, 26, 3)),
            keras.layers.Dense(3, kernel_initializer="identity"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), loss=dists)
    history = model.fit(pred, true, epochs=6, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    model.save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").stat().st_size < 60_000


def test_the_parameters_are_the_published_ones(dists):
    alpha, beta = (
        np.concatenate(x)
        for x in zip(*dists._distance.weights.values(), strict=True)
    )
    assert len(alpha) == len(beta) == 1475
    assert alpha.sum() + beta.sum() == pytest.approx(1, abs=1e-6)
    assert np.all(alpha >= 0)
    assert np.all(beta >= 0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"weights": "imagenet"}, "other channels.*weights='imagenet'"),
        ({"resize": 0}, "whole number of at least 1. Received: resize=0"),
        ({"resize": True}, "Received: resize=True"),
    ],
)
def test_bad_arguments_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        DISTS(**arguments)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(DISTS)


@pytest.mark.slow
@pytest.mark.once
def test_parts_of_features_add_up_to_the_whole(rng):
    loss = DISTS(weights="random")
    images = rng.uniform(0, 1, (2, 2, 80, 96, 3)).astype("float32")
    checks.check_windows(loss._distance, *images)
    # They hold networks and arrays, and none is equal to another.
    assert len({loss._distance, dataclasses.replace(loss._distance)}) == 2
