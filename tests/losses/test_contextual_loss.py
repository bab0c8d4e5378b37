import functools

import checks
import keras
import numpy as np
import pytest
import torture
from distortions import astronaut, distorted
from reference import contextual as reference
from sampling import sample

from keras_perceptual.losses import ContextualLoss
from keras_perceptual.losses.contextual_loss import ContextualDistance

CONFIGS = [
    {"layers": ["relu2"]},
    {"layers": {"relu1": 0.5, "relu3": 2.0}, "band_width": 1.0},
    {"layers": ["relu1"], "max_features": 9},
]


@functools.cache
def shared(index, **arguments):
    """A loss on AlexNet that several tests use."""
    return ContextualLoss("alexnet", **CONFIGS[index], **arguments)


INDICES = range(len(CONFIGS))


@pytest.fixture
def pair():
    """Pictures, and others that have something in common with them."""
    images = torture.picture(48, 64)
    noise = np.random.default_rng(1).uniform(0, 1, images.shape)
    return images, (0.6 * images + 0.4 * noise).astype("float32")


def numpy(x):
    return keras.ops.convert_to_numpy(x)


# Values.


def twin(index, y_true, y_pred):
    """From the features of the extractor, which has tests of its own."""
    loss, total = shared(index), 0.0
    true, pred = (
        {k: numpy(v) for k, v in loss._distance.extractor(x).items()}
        for x in (y_true, y_pred)
    )
    for tap, x in pred.items():
        weight = CONFIGS[index]["layers"]
        weight = weight[tap] if isinstance(weight, dict) else 1.0
        total = total + weight * reference.contextual_distance(
            *(reference.sample(f, loss.max_features) for f in (true[tap], x)),
            loss.band_width,
        )
    return total


# From the NumPy twin, of the pair above.
GOLDEN = [
    [1.758514, 1.51111],
    [4.610427, 4.324285],
    [0.898011, 0.9943722],
]


@pytest.mark.parametrize("index", INDICES)
def test_equals_the_numpy_twin(index, pair):
    found = numpy(shared(index).per_image(*pair))
    np.testing.assert_allclose(found, twin(index, *pair), rtol=1e-5)


@pytest.mark.parametrize("index", INDICES)
def test_golden_values(index, pair):
    found = numpy(shared(index).per_image(*pair))
    np.testing.assert_allclose(found, GOLDEN[index], rtol=1e-5)


@pytest.mark.parametrize("index", INDICES)
def test_layers_add_up(index, pair):
    loss = shared(index)
    terms = loss.per_layer(*pair)
    assert list(terms) == list(CONFIGS[index]["layers"])
    np.testing.assert_allclose(
        sum(numpy(x) for x in terms.values()),
        numpy(loss.per_image(*pair)),
        rtol=1e-6,
    )


def test_default_layers():
    assert list(ContextualLoss()._distance.weights) == ["relu3_3", "relu4_3"]
    assert list(ContextualLoss("alexnet")._distance.weights) == [
        f"conv{i}" for i in range(1, 6)
    ]


@pytest.mark.parametrize("index", INDICES)
def test_a_value_and_a_gradient_for_each_image(index, pair):
    loss = shared(index)
    values = numpy(loss.per_image(*pair))
    assert values.shape == (2,)
    assert np.all(values > 0)
    np.testing.assert_allclose(float(loss(*pair)), values.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        numpy(loss.per_image(*(x[1:] for x in pair))), values[1:], rtol=1e-4
    )
    weighted = float(loss(*pair, np.array([0, 2], "float32")))
    np.testing.assert_allclose(weighted, values[1], rtol=1e-4)
    (gradient,) = checks.gradients(lambda x: loss(pair[0], x), pair[1])
    assert np.all(np.isfinite(gradient))
    assert all(np.any(g != 0) for g in gradient)


def test_no_gradient_flows_to_the_target(pair):
    to_true, to_pred = checks.gradients(shared(0), *pair)
    assert to_true is None or np.all(to_true == 0)
    assert np.any(to_pred != 0)


def test_any_range_and_layout(pair):
    checks.check_image_conventions(
        functools.partial(ContextualLoss, "alexnet", ["relu2"]), *pair
    )


# What it is for.


def test_a_moved_picture_is_near():
    """Where losses that compare place by place see no likeness."""
    photo = astronaut()
    moved = np.roll(photo, 16, axis=2)
    other = photo[:, ::-1, ::-1] * np.float32([0.3, 0.6, 1])
    loss = ContextualLoss("alexnet", ["relu2", "relu3"])
    assert float(loss(photo, moved)) < 0.35 * float(loss(photo, other))


def test_equal_photographs_are_nearly_zero():
    photo = astronaut(96)
    assert 0 <= float(shared(0)(photo, photo)) < 0.02


@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_grows_with_a_distortion(distortion):
    photo, worse = distorted(distortion, 96)
    found = [float(shared(0)(photo, x)) for x in (photo, *worse)]
    assert np.all(np.diff(found) > 0)


# Gradients.


@pytest.mark.parametrize("index", INDICES)
def test_finite_differences(index):
    """On a network without kinks; the nearest feature changes soon enough."""
    images = torture.picture(12, 14)
    noise = np.random.default_rng(1).uniform(0, 1, images.shape)
    loss = shared(index)
    inputs = keras.Input((12, 14, 3))
    network = keras.Model(
        inputs,
        keras.layers.Conv2D(8, 5, strides=2, activation="tanh")(inputs),
    )

    class Smooth(ContextualDistance):
        def see(self, images, mask=None):
            return dict.fromkeys(self.weights, 4 * network(images))

    smooth = ContextualLoss("alexnet", weights="random", **CONFIGS[index])
    smooth._distance = Smooth(**vars(smooth._distance))
    assert smooth.band_width == loss.band_width
    checks.check_finite_differences(
        lambda x: smooth.call(keras.ops.convert_to_tensor(images), x)[0],
        (0.5 * images + 0.5 * noise).astype("float32"),
        step=5e-4,
    )


@pytest.mark.parametrize("dtype", sample(torture.DTYPES))
def test_nothing_that_is_not_finite(dtype):
    loss = ContextualLoss("alexnet", ["relu2"], check_range="off")
    torture.check_finite(loss, 32, 36, dtypes=[dtype])


# Encoded targets, masks and maps.


def test_encoded_targets(pair):
    y_true, y_pred = pair
    loss = shared(2)
    encoded = loss.encode(y_true)
    assert tuple(encoded.shape) == (2, 4 + 2 * 4 * 64)
    np.testing.assert_allclose(
        numpy(loss.per_image(encoded, y_pred)),
        numpy(loss.per_image(y_true, y_pred)),
        rtol=1e-5,
    )


def test_encoded_targets_of_another_grid_are_refused(pair):
    y_true, y_pred = pair
    encoded = shared(2).encode(y_true)
    other = ContextualLoss("alexnet", ["relu1"], max_features=10)
    with pytest.raises(ValueError, match=r"did not encode.*Received: y_true"):
        other(encoded, y_pred)


@pytest.mark.parametrize("side", [31, 46])
def test_a_single_position_is_refused(side):
    """Any two images would be alike, and none would learn."""
    loss = ContextualLoss("alexnet", ["conv1", "conv5"])
    black = np.zeros((1, side, side, 3), "float32")
    for compute in (lambda: loss(black, black), lambda: loss.encode(black)):
        with pytest.raises(ValueError, match=r"'conv5'.*at least 47 pixels"):
            compute()
    # A second position in either direction will do.
    loss(*2 * [np.zeros((1, 31, 47, 3), "float32")])


def test_masks_and_maps_are_refused(pair):
    mask = np.ones((2, 48, 64), "float32")
    message = r"ContextualLoss compares.*mask of places.*mask.shape=\(2, 48, 64"
    with pytest.raises(ValueError, match=message):
        shared(0)(*pair, mask)
    with pytest.raises(ValueError, match=message):
        shared(0)((pair[0], mask), pair[1])
    with pytest.raises(
        ValueError, match=r"no map.*`per_layer`.*Received: y_tr"
    ):
        shared(0).spatial_map(*pair)


# Configuration.


def test_config_keeps_every_argument():
    arguments = {
        "backbone": "alexnet",
        "layers": {"relu1": 2.0},
        "weights": "random",
        "band_width": 0.25,
        "max_features": 64,
        "value_range": [-1.0, 1.0],
        "check_range": "clip",
        "data_format": "channels_first",
        "reduction": "sum",
        "name": "context",
        "dtype": "bfloat16",
    }
    revived = checks.check_config(ContextualLoss(**arguments))
    assert revived.get_config() == {**arguments, "dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "vgg17"}, r"`backbone`. Did you mean 'vgg1"),
        ({"layers": []}, r"at least one layer.*Received: layers=\[\]"),
        ({"weights": "imagnet"}, r"weights.*'imagenet'"),
        ({"band_width": 0}, r"`band_width`.*above 0. Received: band_width=0"),
        ({"max_features": 1}, r"`max_features`.*at least 2.*max_features=1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ContextualLoss(**arguments)


@pytest.mark.slow
def test_fit_save_and_load(tmp_path, pair):
    model = keras.Sequential(
        [
            keras.layers.Input((48, 64, 3)),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )
    loss = ContextualLoss("alexnet", ["relu2"], check_range="off")
    model.compile(keras.optimizers.Adam(0.01), loss=loss)
    history = model.fit(pair[1], pair[0], epochs=6, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == loss.get_config()
    np.testing.assert_allclose(
        loaded.evaluate(*pair, verbose=0),
        model.evaluate(*pair, verbose=0),
        rtol=1e-5,
    )


def test_defaults_are_the_documented_ones():
    checks.check_defaults(ContextualLoss)
