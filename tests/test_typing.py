"""The words that annotations know are those that run-time checks know."""

import typing

import numpy as np
import pytest

from keras_perceptual import typing as types
from keras_perceptual.features.rewiring import POOLINGS
from keras_perceptual.gradients.judging import POLICIES as GRADIENT_POLICIES
from keras_perceptual.io.table_operations import (
    INTERPOLATIONS as CUBE_INTERPOLATIONS,
)
from keras_perceptual.layers import lookup_color_layer
from keras_perceptual.losses.color_difference_loss import WHOLE
from keras_perceptual.losses.presets import EDGE_PRESETS, PRESETS
from keras_perceptual.losses.sobel_gradient_loss import (
    MODES,
    NORMS,
    UNDIRECTED,
)
from keras_perceptual.losses.weighted_sum_loss import BALANCES
from keras_perceptual.ops.color_difference import COLOR_DIFFERENCES
from keras_perceptual.ops.color_lookup import INTERPOLATIONS
from keras_perceptual.ops.distances import FEATURE_DISTANCES
from keras_perceptual.ops.gram import GRAM_NORMALIZATIONS
from keras_perceptual.ops.image_gradients import OPERATORS, PADDINGS
from keras_perceptual.ops.pyramids import DOWNSAMPLINGS
from keras_perceptual.ops.table_shape import AXES
from keras_perceptual.ops.total_variation import VARIATIONS
from keras_perceptual.ops.wavelets import LOW_PASS
from keras_perceptual.range_check import POLICIES as RANGE_POLICIES

WORDS = {
    "RangePolicy": RANGE_POLICIES,
    "SlopeOperator": OPERATORS,
    "EdgeOperator": (
        *OPERATORS,
        *UNDIRECTED,
    ),
    "EdgeMode": MODES,
    "Padding": PADDINGS,
    "Downsampling": DOWNSAMPLINGS,
    "VariationNorm": VARIATIONS,
    "Balance": BALANCES,
    "ColorDifference": COLOR_DIFFERENCES,
    "Wavelet": LOW_PASS,
    "FeatureDifference": FEATURE_DISTANCES,
    "GramNormalization": GRAM_NORMALIZATIONS,
    "Pooling": POOLINGS,
    "CubeInterpolation": CUBE_INTERPOLATIONS,
    "CurveInterpolation": lookup_color_layer.INTERPOLATIONS[1],
    "Interpolation": INTERPOLATIONS,
    "Extrapolation": lookup_color_layer.EXTRAPOLATIONS,
    "TableAxes": AXES,
    "PerceptualPreset": PRESETS,
    "EdgePreset": EDGE_PRESETS,
    "GradientPolicy": GRADIENT_POLICIES,
    "ZeroPolicy": ("auto", *GRADIENT_POLICIES),
}


@pytest.mark.parametrize("name", WORDS)
def test_the_words_of_a_type_are_those_that_are_accepted(name):
    words = typing.get_args(getattr(types, name))
    assert set(words) == set(WORDS[name])


def test_a_norm_is_a_word_or_a_number():
    words, number = typing.get_args(types.EdgeNorm)
    assert set(typing.get_args(words)) == {
        *NORMS,
        "charbonnier",
    }
    assert number is float


def test_a_blur_is_a_word_or_a_number():
    words, number = typing.get_args(types.Blur)
    assert typing.get_args(words) == (WHOLE,)
    assert number is int


def test_what_has_a_shape_and_a_type_is_an_array():
    """Texts have neither, so that a path is no image."""
    array = typing.runtime_checkable(types.Array)
    assert isinstance(np.zeros(2), array)
    assert not isinstance("photo.png", array)
