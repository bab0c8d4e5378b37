"""The official packages' numbers, for batches in every range of pixels.

One pair at a time in (0, 1) is compared where each loss is tested.
"""

import functools

import keras
import numpy as np
import pytest
from reference import golden, photographs
from sampling import rarely

from keras_perceptual import DISTS, LPIPS, PerceptualLoss
from keras_perceptual.features import FeatureExtractor
from keras_perceptual.ops.distances import feature_distance
from keras_perceptual.ops.gram import gram_matrix

PHOTOGRAPHS = [
    rarely(name) if "chelsea" in name else name
    for name in photographs.PHOTOGRAPHS
]
NETS = {"alexnet": "alex", "vgg16": "vgg"}
RELU3_3_CHANNELS = 256


def batch(name, low=0, high=1):
    """Returns a photograph four times and its four distorted copies."""
    pairs = [golden.pair(f"{name}/{kind}") for kind in photographs.DISTORTIONS]
    return tuple(
        np.float32(low) + np.float32(high - low) * np.concatenate(images)
        for images in zip(*pairs, strict=True)
    )


def expected(name, weights, key):
    """Returns the stored numbers of a batch."""
    return [
        golden.PAIRS[f"{name}/{kind}"][weights][key]
        for kind in photographs.DISTORTIONS
    ]


# The networks are the same in every test.
make = functools.cache(lambda kind, *args, **config: kind(*args, **config))


def values(loss, images):
    return keras.ops.convert_to_numpy(loss.per_image(*images))


@pytest.mark.parametrize("name", photographs.PHOTOGRAPHS)
def test_the_pairs_are_what_the_numbers_were_computed_from(name):
    found = [
        photographs.fingerprint(name, kind) for kind in photographs.DISTORTIONS
    ]
    assert found == [
        golden.PAIRS[f"{name}/{kind}"]["fingerprint"]
        for kind in photographs.DISTORTIONS
    ]


@pytest.mark.parametrize("backbone", NETS)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_lpips_of_eight_bit_images(name, backbone):
    y_true, y_pred = batch(name, 0, 255)
    y_true = np.round(y_true).astype("uint8")
    found = values(
        make(LPIPS, backbone, value_range=(0, 255)), (y_true, y_pred)
    )
    for key in (
        f"lpips_{NETS[backbone]}",
        f"torchmetrics_lpips_{NETS[backbone]}",
    ):
        np.testing.assert_allclose(
            found, expected(name, "packaged", key), atol=1e-5
        )
        np.testing.assert_allclose(
            found, expected(name, "original", key), atol=5e-5
        )


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_lpips_of_piq(name):
    loss = make(LPIPS, "vgg16", value_range=(-1, 1))
    np.testing.assert_allclose(
        values(loss, batch(name, -1, 1)),
        expected(name, "packaged", "piq_lpips"),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("resize", "key"), [(None, "dists_pytorch"), (256, "piq_dists")]
)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_dists_of_images_in_the_range_of_a_generator(name, resize, key):
    loss = make(DISTS, resize=resize, value_range=(-1, 1))
    found = values(loss, batch(name, -1, 1))
    np.testing.assert_allclose(
        found, expected(name, "packaged", key), atol=1e-5
    )
    # The official networks themselves differ by up to 6.4e-5 on these pairs
    # when their weights are rounded to 16 bits.
    np.testing.assert_allclose(
        found, expected(name, "original", key), atol=1e-4
    )


# By how much numbers may differ, relative to them: ours from those with the
# same weights, and from those with weights that were not rounded (there the
# packages' own numbers differ by up to 3.6e-4).
TOLERANCES = {"packaged": 5e-5, "original": 5e-4}


@pytest.mark.parametrize(
    ("config", "key", "factor"),
    [
        # A sum over channels, where ours is a mean.
        ({}, "piq_content_mse", RELU3_3_CHANNELS),
        ({"distance": "mae"}, "piq_content_mae", RELU3_3_CHANNELS),
        (
            {"normalize_features": True},
            "piq_content_unit",
            RELU3_3_CHANNELS,
        ),
        ({"gram_normalization": "none"}, "piq_style", 1),
        ({"gram_normalization": "chw"}, "basicsr_style_mse", 1),
        ({"gram_normalization": "hw"}, "tutorial_style_mse", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_perceptual_loss(name, config, key, factor):
    if "gram_normalization" in config:
        config = {"content_weight": 0, "style_weight": 1, **config}
    loss = make(PerceptualLoss, "vgg16", "relu3_3", **config)
    found = factor * values(loss, batch(name))
    for weights, tolerance in TOLERANCES.items():
        np.testing.assert_allclose(
            found, expected(name, weights, key), rtol=tolerance
        )


def test_the_mean_of_cosines_is_half_the_distance_of_unit_vectors():
    """piq's content loss of unit vectors is our cosine distance as well."""
    loss = PerceptualLoss("vgg16", "relu3_3", distance="cosine")
    name = "astronaut_64x64"
    np.testing.assert_allclose(
        2 * values(loss, batch(name)),
        expected(name, "packaged", "piq_content_unit"),
        rtol=5e-5,
    )


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_absolute_differences_of_gram_matrices(name):
    """BasicSR's style term, with the functions that ours consists of."""
    extractor = FeatureExtractor("vgg16", "relu3_3")
    grams = [
        gram_matrix(x)
        for image in batch(name)
        for x in extractor(keras.ops.convert_to_tensor(image)).values()
    ]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(feature_distance("mae", *grams)),
        expected(name, "packaged", "basicsr_style_l1"),
        rtol=5e-5,
    )
