import re

import checks
import numpy as np
import pytest
from keras import ops

from keras_perceptual.ops.value_range import (
    clamp,
    describe_range_mistake,
    is_narrow,
    is_outside,
    likely_range,
    rescale,
    show_range,
)


@pytest.mark.parametrize(
    ("value_range", "target_range"),
    [((0, 1), (-1, 1)), ((0, 255), (0, 1)), ((-1, 1), (0, 255))],
)
def test_rescale_moves_the_ends_and_what_lies_beyond(value_range, target_range):
    low, high = value_range
    x = np.array([low, high, 2 * high - low], "float32")
    moved = ops.convert_to_numpy(
        rescale(ops.convert_to_tensor(x), value_range, target_range)
    )
    low, high = target_range
    np.testing.assert_allclose(moved, [low, high, 2 * high - low], rtol=1e-6)


def test_rescale_to_the_same_range_does_nothing():
    x = np.zeros(3)
    assert rescale(x, (0, 255), (0, 255)) is x


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0.0, 1.0)),
        (-0.05, 1.05, (0.0, 1.0)),
        (-1.0, 1.0, (-1.0, 1.0)),
        (0.0, 255.0, (0.0, 255.0)),
        (-500.0, 3.0, None),
    ],
)
def test_likely_range(low, high, expected):
    assert likely_range(low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "promised", "text"),
    [
        (0, 255, (0.0, 1.0), r"look like images in \(0, 255\)"),
        (-1, 1, (0.0, 1.0), r"value_range=\(-1, 1\)"),
        (0, 1, (0.0, 255.0), r"value_range=\(0, 1\)"),
        (0, 1, (-1.0, 1.0), r"value_range=\(0, 1\)"),
        (-7e4, 0, (0.0, 1.0), "Rescale or clip"),
    ],
)
def test_describes_the_likely_mistake(low, high, promised, text):
    assert is_outside(low, high, promised, 0.1) or is_narrow(
        low, high, promised
    )
    sentence = describe_range_mistake(low, high, promised)
    assert re.search(text, sentence)
    assert f"{show_range(promised)} was expected" in sentence


@pytest.mark.parametrize(
    ("low", "high", "promised"),
    [
        (0.0, 1.0, (0.0, 1.0)),
        (-0.05, 1.05, (0.0, 1.0)),
        (0.0, 255.0, (0.0, 255.0)),
        (0.0, 0.0, (0.0, 255.0)),
        (1.0, 1.0, (-1.0, 1.0)),
        (-0.1, 1.0, (-1.0, 1.0)),
        (np.nan, np.nan, (0.0, 1.0)),
    ],
)
@pytest.mark.parametrize("kind", [float, ops.convert_to_tensor])
def test_says_nothing_of_what_may_be_right(low, high, promised, kind):
    low, high = kind(low), kind(high)
    assert not is_outside(low, high, promised, 0.1)
    assert not is_narrow(low, high, promised)


def test_clamp():
    x = np.array([-np.inf, -1, 0, 0.5, 1, 2, np.inf, np.nan], "float32")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(clamp(x, 0.0, 1.0)),
        [0, 0, 0, 0.5, 1, 1, 1, np.nan],
    )
    (found,) = checks.gradients(lambda x: ops.sum(clamp(x, 0.0, 1.0)), x[:-1])
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 1, 0, 0])
