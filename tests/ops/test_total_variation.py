import checks
import numpy as np
import pytest
import torture
from keras import ops
from reference import pixel_losses as reference
from sampling import sample

from keras_perceptual.ops.total_variation import (
    VARIATIONS,
    total_variation,
    variation_map,
)

SHAPES = [(3, 9, 12, 3), (2, 1, 6, 2), (1, 5, 1, 1), (2, 1, 1, 3)]


@pytest.mark.parametrize("norm", VARIATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_numpy_twin(rng, norm, shape):
    x = rng.uniform(0, 1, shape).astype("float32")
    expected = reference.total_variation(x, norm)
    for layout in ("channels_last", "channels_first"):
        images = x if layout == "channels_last" else np.moveaxis(x, -1, 1)
        found = total_variation(images, norm, data_format=layout)
        np.testing.assert_allclose(
            ops.convert_to_numpy(found), expected, rtol=1e-5, atol=1e-7
        )


@pytest.mark.tensorflow_only
def test_equals_tensorflow_times_the_number_of_values(rng):
    import tensorflow as tf

    x = rng.uniform(0, 1, (3, 9, 12, 3)).astype("float32")
    np.testing.assert_allclose(
        total_variation(x) * (9 * 12 * 3),
        tf.image.total_variation(tf.constant(x)),
        rtol=1e-6,
    )


def test_epsilon_is_where_isotropic_becomes_quadratic(rng):
    x = rng.uniform(0, 1, (1, 6, 6, 1)).astype("float32")
    coarse = total_variation(x, "isotropic", epsilon=1e3)
    np.testing.assert_allclose(
        float(coarse[0]), float(total_variation(x, "l2")[0]) / 2e3, rtol=1e-4
    )


def test_isotropic_minds_the_direction_of_an_edge_least():
    """The same edge, straight and at 45 degrees, for each unit of length."""
    size = 64
    y, x = np.indices((size, size))
    ramps = [np.clip((x - size / 2) / 16, -1, 1)]
    ramps.append(np.clip(((x + y) / 2**0.5 - size / 2) / 16, -1, 1))
    middle = slice(size // 4, size // 4 + 8)  # The border is of no account.
    strips = [r[middle][None, :, :, None].astype("float32") for r in ramps]
    spread = {}
    for norm in ("l1", "isotropic"):
        straight, slanted = (
            float(total_variation(s, norm, epsilon=1e-6)[0]) for s in strips
        )
        # A slanted edge is longer by the square root of two in the strip.
        spread[norm] = abs(slanted / straight / 2**0.5 - 1)
    assert spread["isotropic"] < 0.1 < spread["l1"]


@pytest.mark.parametrize("norm", VARIATIONS)
def test_finite_differences(rng, norm):
    # Neighbors far apart, so that no absolute value turns round in a step.
    x = rng.permutation(2 * 6 * 5 * 2).reshape(2, 6, 5, 2).astype("float32")
    checks.check_finite_differences(
        lambda x: ops.sum(total_variation(x / 120, norm)), x, step=0.2
    )


@pytest.mark.parametrize("norm", VARIATIONS)
def test_nothing_pulls_at_a_constant_image(norm):
    x = np.full((1, 4, 4, 2), 0.3, "float32")
    assert float(total_variation(x, norm)[0]) == 0
    (gradient,) = checks.gradients(lambda x: ops.sum(total_variation(x)), x)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("norm", sample(list(VARIATIONS)))
def test_nothing_that_is_not_finite(norm):
    torture.check_finite(
        lambda y_true, y_pred: ops.sum(
            total_variation(ops.cast(y_pred, "float32"), norm)
        ),
        8,
        8,
    )


def test_wrong_arguments():
    x = np.zeros((1, 4, 4, 1), "float32")
    with pytest.raises(ValueError, match=r"`norm`.*Received: norm='l3'"):
        total_variation(x, "l3")
    with pytest.raises(ValueError, match=r"four axes.*Received: images"):
        total_variation(x[0])


@pytest.mark.parametrize("norm", ["l1", "l2", "isotropic"])
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_a_difference_counts_as_the_least_of_its_two_pixels(rng, norm, layout):
    x = rng.uniform(0, 1, (2, 6, 5, 3))
    mask = rng.uniform(0, 1, (2, 6, 5)) * rng.integers(0, 2, (2, 6, 5))
    mask[1] = 0
    dy, dx = np.zeros((2, *x.shape))
    dy[:, :-1], dx[:, :, :-1] = np.diff(x, axis=1), np.diff(x, axis=2)
    rows, columns = np.zeros((2, *mask.shape))
    rows[:, :-1] = np.minimum(mask[:, 1:], mask[:, :-1])
    columns[:, :, :-1] = np.minimum(mask[..., 1:], mask[..., :-1])
    rows, columns, weights = (w[..., None] for w in (rows, columns, mask))
    if norm == "l1":
        varied = abs(dy) * rows + abs(dx) * columns
    elif norm == "l2":
        varied = dy**2 * rows + dx**2 * columns
    else:
        squares = dy**2 * (rows > 0) + dx**2 * (columns > 0)
        varied = (np.sqrt(squares + 1e-6) - 1e-3) * weights
    # An empty mask costs nothing.
    total = np.maximum(mask.sum(axis=(1, 2)), 1e-9)
    expected = varied.mean(axis=-1).sum(axis=(1, 2)) / total
    if layout == "channels_first":
        x = np.moveaxis(x, -1, 1)
    found = total_variation(
        x.astype("float32"),
        norm,
        mask=mask.astype("float32"),
        data_format=layout,
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), expected, rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("norm", ["l1", "l2", "isotropic"])
def test_the_map_has_the_variation_for_its_mean(rng, norm):
    x = rng.uniform(0, 1, (2, 3, 6, 5)).astype("float32")
    settings = {"epsilon": 0.1, "data_format": "channels_first"}
    found = variation_map(x, norm, **settings)
    assert tuple(found.shape) == (2, 6, 5)
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.mean(found, axis=(1, 2))),
        ops.convert_to_numpy(total_variation(x, norm, **settings)),
        rtol=1e-5,
    )


def test_defaults_are_the_documented_ones():
    checks.check_defaults(total_variation)
