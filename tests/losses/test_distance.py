import types

import keras
import numpy as np
import pytest
import torture
from sampling import once

from keras_perceptual import (
    DISTS,
    LPIPS,
    CharbonnierLoss,
    PerceivedDistance,
    SobelGradientLoss,
    TotalVariationLoss,
)
from keras_perceptual.losses.distance import spatial_map
from keras_perceptual.losses.dists import STRIDES

# In 301 by 290 pixels, windows of 272 are of 269 by 258 pixels: two of them
# downwards and two along.
SIZE = (301, 290)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def pair(height, width):
    images = torture.picture(height, width)
    noise = np.random.default_rng(1).normal(0, 0.1, images.shape)
    return images, np.clip(images + noise, 0, 1).astype("float32")


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (LPIPS, {}),
        pytest.param(
            LPIPS,
            {"linear_heads": False, "value_range": (-1, 2)},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            LPIPS,
            {"backbone": "vgg16"},
            marks=[pytest.mark.slow, pytest.mark.once],
        ),
        (PerceivedDistance, {"size": "small"}),
        pytest.param(
            PerceivedDistance,
            {"forgive_gain": False, "value_range": (-1, 2)},
            marks=pytest.mark.slow,
        ),
        pytest.param(DISTS, {}, marks=pytest.mark.slow),
        pytest.param(
            DISTS,
            {"resize": 276, "value_range": (-1, 2)},
            marks=[pytest.mark.slow, pytest.mark.once],
        ),
    ],
)
def test_windows_leave_the_values(loss, arguments):
    loss = loss(**arguments)
    images = pair(*SIZE)
    np.testing.assert_allclose(
        numpy(loss.per_image(*images, tile=272)),
        numpy(loss.per_image(*images)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("loss", [LPIPS, DISTS, PerceivedDistance])
def test_small_images_are_looked_at_at_once(loss):
    loss = loss(weights="random", data_format="channels_first")
    images = [np.moveaxis(x, -1, 1) for x in pair(40, 37)]
    np.testing.assert_allclose(
        numpy(loss.per_image(*images, tile=256)),
        numpy(loss.per_image(*images)),
        rtol=1e-5,
    )


def test_gray_images_and_whole_numbers():
    true, pred = (np.round(255 * x[..., :1]) for x in pair(40, 37))
    loss = DISTS(value_range=(0, 255))
    np.testing.assert_allclose(
        numpy(loss.per_image(true.astype("uint8"), pred, tile=256)),
        numpy(loss.per_image(true, pred)),
        rtol=1e-5,
    )


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_sizes_that_are_not_known_while_tracing():
    import tensorflow as tf

    loss = LPIPS(check_range="off")
    spec = tf.TensorSpec((None, None, None, 3))
    traced = tf.function(
        lambda true, pred: loss.per_image(true, pred, tile=256),
        input_signature=[spec, spec],
    )
    for size in ((64, 80), (270, 40)):
        images = pair(*size)
        np.testing.assert_allclose(
            traced(*images), numpy(loss.per_image(*images)), rtol=1e-5
        )


@pytest.mark.parametrize(
    "loss", once([LPIPS(), LPIPS("vgg16"), DISTS(), PerceivedDistance()])
)
def test_the_distance_of_positions_is_that_of_the_network(loss):
    strides = getattr(loss._distance, "strides", STRIDES)
    found = [
        loss._distance.see(keras.ops.zeros((1, side, 32, 3)))
        for side in (192, 64)
    ]
    for name, stride in strides.items():
        grown = found[0][name].shape[1] - found[1][name].shape[1]
        assert grown * stride == 128


def test_what_windows_cannot_do_is_refused():
    loss = LPIPS(weights="random")
    images = pair(40, 40)
    mask = np.ones((2, 40, 40), "float32")
    with pytest.raises(ValueError, match=r"without a mask.*tile=256"):
        loss.per_image((images[0], mask), images[1], tile=256)
    with pytest.raises(ValueError, match=r"not encoded before.*tile=256"):
        loss.per_image(loss.encode(images[0]), images[1], tile=256)
    with pytest.raises(ValueError, match=r"at least 256. Received: tile=255"):
        loss.per_image(*images, tile=255)


@pytest.mark.parametrize("cls", [CharbonnierLoss, TotalVariationLoss])
def test_differences_count_by_the_width_of_the_range(cls):
    """Of (-1, 1) it is two, and not the end."""
    images = pair(16, 16)
    settings = {"epsilon": 1e-6} if cls is CharbonnierLoss else {}
    expected = cls(**settings)(*images)
    for low, high in ((-1, 1), (-3, 5), (10, 12)):
        moved = [low + (high - low) * x for x in images]
        found = cls(**settings, value_range=(low, high))(*moved)
        np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-4)


def test_only_what_a_network_sees_can_be_encoded():
    images = pair(40, 40)
    encoded = LPIPS(weights="random").encode(images[0])
    with pytest.raises(ValueError, match="Received: "):
        CharbonnierLoss()(encoded, images[1])


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_maps_are_enlarged_and_summed(data_format):
    """Those of pixels have the size of the images."""

    def map(true, pred):
        corner = keras.ops.convert_to_tensor([[[1.0, 0.0], [0.0, 0.0]]])
        return {"pixels": keras.ops.ones((1, 4, 8)), "tap": corner}

    loss = CharbonnierLoss(data_format=data_format)
    distance = types.SimpleNamespace(
        data_format=data_format,
        network=None,
        observe=loss._distance.observe,
        observe_target=loss._distance.observe_target,
        map=map,
    )
    shape = (1, 4, 8, 3) if data_format == "channels_last" else (1, 3, 4, 8)
    images = keras.ops.zeros(shape)
    found = numpy(spatial_map(distance, images, images))
    assert found.shape == (1, 4, 8)
    assert found[0, 0, 0] == 2 and found[0, -1, -1] == 1
    assert (np.diff(found[0], axis=1) <= 0).all()


@pytest.mark.parametrize("place", [0, 1])
def test_not_a_number_is_passed_on_by_the_one_image_that_has_it(place):
    """Though a network takes the largest of several, and leaves NaN out."""
    loss = LPIPS(weights="random", check_range="off")
    images = pair(40, 40)
    images[place][1, :2, :2] = np.nan
    values = numpy(loss.per_image(*images))
    assert np.isfinite(values).tolist() == [True, False]
    found = numpy(loss.spatial_map(*images))
    assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_maps_of_images_whose_size_is_not_known_while_tracing():
    import tensorflow as tf

    loss, images = SobelGradientLoss(scales=2), pair(16, 22)
    traced = tf.function(
        loss.spatial_map,
        input_signature=2 * [tf.TensorSpec((None,) * 3 + (3,))],
    )
    np.testing.assert_allclose(
        traced(*images), numpy(loss.spatial_map(*images)), atol=1e-5
    )
