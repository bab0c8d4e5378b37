import checks
import numpy as np
import pytest
from keras import ops

from keras_perceptual.ops.value_range import clamp, rescale


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


def test_clamp():
    x = np.array([-np.inf, -1, 0, 0.5, 1, 2, np.inf, np.nan], "float32")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(clamp(x, 0.0, 1.0)),
        [0, 0, 0, 0.5, 1, 1, 1, np.nan],
    )
    (found,) = checks.gradients(lambda x: ops.sum(clamp(x, 0.0, 1.0)), x[:-1])
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 1, 0, 0])
