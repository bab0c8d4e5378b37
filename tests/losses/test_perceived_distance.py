import dataclasses
import functools

import checks
import keras
import numpy as np
import pytest
import torture
from distortions import astronaut, compress, distorted
from reference import perceived_distance as reference
from reference import photographs
from sampling import sample

import keras_perceptual as kp
from keras_perceptual import PerceivedDistance

CONFIGS = [
    {"size": "small"},
    {},
    {"forgive_gain": False},
    {"weights": "random", "backbone": "vgg16", "size": "small"},
]


def label(config):
    return "-".join(str(value) for value in config.values()) or "default"


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@functools.cache
def shared(**config):
    """A loss that several tests use."""
    return PerceivedDistance(**config)


def gain(photo, factor):
    """Returns a photograph with its contrast raised or lowered."""
    return (photo.mean() + factor * (photo - photo.mean())).astype("float32")


@pytest.fixture
def pair():
    """Two images with edges and texture, and noisy copies of them."""
    images = torture.picture(36, 40)
    noise = np.random.default_rng(1).normal(0, 0.05, images.shape)
    return images, np.clip(images + noise, 0, 1).astype("float32")


@pytest.mark.parametrize("config", sample(CONFIGS, 2), ids=label)
def test_contract(config, pair):
    checks.check_loss_contract(PerceivedDistance(**config), *pair)


def test_the_same_picture_in_every_range_and_layout(pair):
    checks.check_image_conventions(
        functools.partial(PerceivedDistance, size="small"), *pair
    )


@pytest.mark.parametrize("config", CONFIGS[:3], ids=label)
@pytest.mark.parametrize("distortion", photographs.DISTORTIONS)
def test_agrees_with_the_twin(distortion, config):
    """The taps, the constants and the weights of all parts."""
    loss = shared(**config)
    pair = photographs.pair("rocket_75x101", distortion)
    seen = [loss._distance.extractor(x) for x in pair]
    features = {tap: [numpy(x[tap])[0] for x in seen] for tap in seen[0]}
    assert list(features) == (
        ["relu2"] if "size" in config else list(reference.CONSTANTS)
    )
    expected = reference.distance(
        [x[0] for x in pair], features, config.get("forgive_gain", True)
    )
    assert float(loss(*pair)) == pytest.approx(expected, abs=1e-6)


def test_small_takes_part_of_the_packaged_weights():
    small, full = shared(size="small"), shared()
    assert small._distance.network.count_params() == 330_688
    for ours, theirs in zip(
        small._distance.network.weights,
        full._distance.network.weights,
        strict=False,
    ):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", sample(CONFIGS), ids=label)
def test_gradient_agrees_with_finite_differences(config, rng):
    """In float64, where steps are small enough to miss the kinks of ReLU.

    Keras averages in float32 on JAX and PyTorch.
    """
    loss = PerceivedDistance(dtype="float64", **config)
    images, noisy = rng.uniform(size=(2, 1, 32, 32, 3))
    checks.check_finite_differences(
        lambda y_pred: loss(images, y_pred), noisy, step=1e-7, tolerance=1e-4
    )


@pytest.mark.parametrize(
    "config",
    sample(CONFIGS),
    ids=label,
)
def test_no_input_gives_a_gradient_that_is_not_finite(config):
    dtypes = torture.DTYPES if "size" not in config else ("float32",)
    loss = PerceivedDistance(check_range="off", **config)
    torture.check_finite(loss, 36, 33, dtypes=dtypes)


@pytest.mark.parametrize("color", [(0.485, 0.456, 0.406), (0.3, 0.3, 0.3)])
def test_a_flat_reference_costs_what_can_be_said(color):
    """Also of the color of zeros in the network, where all channels are dead.

    What is rounded there must not pass for contrast that is lost.
    """
    loss = shared()
    flat = np.ones((1, 64, 64, 3), "float32") * np.float32(color)
    assert float(loss(flat, flat)) == 0
    near = np.nextafter(flat, np.float32(1))
    assert float(loss(flat, near)) < 0.01
    values = loss.per_layer(flat, astronaut(64))
    assert all(float(x[0]) < 5 for x in values.values())


@pytest.mark.parametrize("size", ["small", "full"])
@pytest.mark.parametrize("distortion", ["blur", "noise", "jpeg"])
def test_grows_with_the_distortion(size, distortion):
    photo, worse = distorted(distortion, 64)
    values = [float(shared(size=size)(photo, x)) for x in (photo, *worse)]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[-1] > 2 * values[1] > 0


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("size", ["small", "full"])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_grows_on_other_photographs(name, size):
    """With blur, noise, JPEG and quantization, eight strengths each."""
    data = pytest.importorskip("skimage.data")
    filters = pytest.importorskip("skimage.filters")
    photo = getattr(data, name)()[:256, :256][None] / np.float32(255)
    noise = np.random.default_rng(0).normal(size=photo.shape)
    strengths = {
        "blur": [
            filters.gaussian(photo, (0, s, s, 0))
            for s in np.geomspace(0.5, 6, 8)
        ],
        "noise": [
            np.clip(photo + s * noise, 0, 1)
            for s in np.geomspace(0.004, 0.4, 8)
        ],
        "jpeg": [compress(photo, q) for q in (98, 90, 75, 55, 35, 20, 10, 5)],
        "quantization": [
            np.round(photo * n) / n for n in (128, 64, 32, 16, 8, 5, 3, 2)
        ],
    }
    loss = shared(size=size)
    for kind, images in strengths.items():
        values = [float(loss(photo, np.float32(x))) for x in images]
        assert values == sorted(values), kind


def test_raised_contrast_costs_less_than_lowered():
    """And without forgiveness hardly anything tells them apart."""
    photo = 0.25 + 0.5 * astronaut(64)
    raised, lowered = gain(photo, 1.2), gain(photo, 0.8)
    loss = shared()
    assert float(loss(photo, raised)) < 0.7 * float(loss(photo, lowered))
    assert float(loss(photo, gain(photo, 1.4))) > float(loss(photo, raised))
    even = shared(forgive_gain=False)
    assert float(even(photo, raised)) == pytest.approx(
        float(even(photo, lowered)), rel=0.2
    )


def test_no_gradient_flows_to_the_target(pair):
    loss = shared(size="small")
    gradient, _ = checks.gradients(lambda t, p: loss(t, p), *pair)
    assert gradient is None or not np.any(gradient)


def test_gray_images_are_repeated(pair):
    loss = shared(size="small")
    gray = [x[..., :1] for x in pair]
    assert float(loss(*gray)) == pytest.approx(
        float(loss(*[np.repeat(x, 3, -1) for x in gray])), rel=1e-5
    )


def test_a_mask_takes_the_moments_where_it_is(pair):
    true, pred = pair
    loss = shared(size="small")
    mask = np.zeros(true.shape[:3], "float32")
    assert float(loss((true, mask), pred)) == 0
    everywhere = np.ones_like(mask)
    assert float(loss((true, everywhere), pred)) == pytest.approx(
        float(loss(true, pred)), rel=1e-5
    )
    mask[:, :, :20] = 1
    half = float(loss((true, mask), pred))
    assert half == pytest.approx(float(loss(true, pred, mask)), rel=1e-6)
    assert abs(half / float(loss(true, pred)) - 1) > 1e-3
    # Colors are compared nowhere else.
    hidden = pred.copy()
    hidden[:, :, 20:] = 0.5
    colors = [loss.per_layer((true, mask), x)["color"] for x in (pred, hidden)]
    np.testing.assert_array_equal(*map(numpy, colors))


def test_encoded_targets(pair):
    true, pred = pair
    loss = shared(size="small")
    assert float(loss(loss.encode(true), pred)) == pytest.approx(
        float(loss(true, pred)), rel=1e-5
    )
    with pytest.raises(Exception, match="did not encode"):
        shared()(loss.encode(true), pred)


@pytest.mark.parametrize("forgive_gain", [True, False])
def test_the_map_shows_the_place_and_its_mean_is_the_loss(forgive_gain):
    photo = astronaut(192)
    changed = photo.copy()
    changed[:, 40:56, 120:136] = gain(changed[:, 40:56, 120:136], 0.2)
    loss = shared(forgive_gain=forgive_gain)
    found = numpy(loss.spatial_map(photo, changed))[0]
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 32 <= row <= 64
    assert 112 <= column <= 144
    np.testing.assert_allclose(
        found.mean(), float(loss(photo, changed)), rtol=0.1
    )


def test_half_precision_stays_near(pair):
    exact = float(shared()(*pair))
    for dtype in ("mixed_float16", "mixed_bfloat16"):
        found = float(PerceivedDistance(dtype=dtype)(*pair))
        assert found == pytest.approx(exact, rel=0.05)
        assert found != exact


@pytest.mark.slow
def test_a_model_learns_and_nothing_else_does(pair, tmp_path):
    true, _ = pair
    pred = 0.5 * true
    model = keras.Sequential(
        [
            keras.Input((36, 40, 3)),
            keras.layers.Dense(3, kernel_initializer="identity"),
        ]
    )
    loss = PerceivedDistance(size="small")
    model.compile(
        keras.optimizers.Adam(0.02),
        loss=loss,
        metrics=[kp.PerceivedDistanceMetric(loss)],
    )
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


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"backbone": "alex"}, "Did you mean 'alexnet'.*backbone='alex'"),
        ({"size": "tiny"}, "Received: size='tiny'"),
        ({"forgive_gain": "no"}, "Received: forgive_gain='no'"),
        ({"weights": "imagenet"}, "other channels.*weights='imagenet'"),
    ],
)
def test_bad_arguments_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        PerceivedDistance(**arguments)


def test_images_that_are_too_small_are_refused():
    small = np.zeros((1, 30, 64, 3), "float32")
    with pytest.raises(ValueError, match=r"too small for .* 'relu3'"):
        PerceivedDistance()(small, small)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(PerceivedDistance)


@pytest.mark.once
def test_parts_of_features_add_up_to_the_whole(rng):
    loss = PerceivedDistance(size="small", weights="random")
    images = rng.uniform(0, 1, (2, 2, 80, 96, 3)).astype("float32")
    checks.check_windows(loss._distance, *images)
    # They hold networks and arrays, and none is equal to another.
    assert len({loss._distance, dataclasses.replace(loss._distance)}) == 2
