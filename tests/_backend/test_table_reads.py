import checks
import keras
import numpy as np
import pytest
from reference import color_lookup as reference

from keras_perceptual import _backend
from keras_perceptual.ops.table_places import CubePlaces

TWINS = {
    "linear": reference.trilinear,
    "tetrahedral": reference.tetrahedral,
}


def read(points, tables, interpolation, size=4):
    return _backend.load("table_reads").read_blended(
        CubePlaces((size,) * 3, interpolation),
        keras.ops.convert_to_tensor(points),
        keras.ops.convert_to_tensor(tables),
    )


@pytest.mark.parametrize("interpolation", TWINS)
@pytest.mark.parametrize("count", [1, 7, 70_001])
def test_blocks_of_points_are_one_read(rng, interpolation, count):
    """Also where the last block is not full."""
    points = rng.uniform(0, 1, (1, count, 3)).astype("float32")
    table = rng.uniform(0, 1, (4, 4, 4, 3)).astype("float32")
    upstream = rng.uniform(-1, 1, points.shape).astype("float32")
    rows = table.reshape(1, 64, 3)
    found = keras.ops.convert_to_numpy(read(points, rows, interpolation))
    np.testing.assert_allclose(
        found, TWINS[interpolation](points, table), atol=2e-6
    )

    def total(points, rows):
        return keras.ops.sum(
            keras.ops.multiply(read(points, rows, interpolation), upstream)
        )

    of_points, of_rows = checks.gradients(total, points, rows)
    picked = np.unique(np.linspace(0, count - 1, 5, dtype=int))
    few, _ = checks.gradients(
        lambda points, rows: keras.ops.sum(
            keras.ops.multiply(
                read(points, rows, interpolation), upstream[:, picked]
            )
        ),
        points[:, picked],
        rows,
    )
    np.testing.assert_allclose(of_points[:, picked], few, atol=1e-5)
    # The sum is linear in the table, so that a change of it tells.
    change = rng.uniform(-1, 1, rows.shape)
    expected = np.sum(
        TWINS[interpolation](points, change.reshape(table.shape)) * upstream
    )
    scale = np.sqrt(count)
    np.testing.assert_allclose(
        np.sum(of_rows * change) / scale, expected / scale, atol=1e-4
    )


@pytest.mark.parametrize("interpolation", TWINS)
def test_gradients_of_gradients(rng, interpolation):
    """As a penalty on gradients has them; by finite differences."""
    points = np.float32([[[0.1, 0.15, 0.22], [0.6, 0.9, 0.75]]])
    rows = rng.uniform(0, 1, (1, 64, 3)).astype("float32")

    def energy(points, rows):
        y = read(points, rows, interpolation)
        return keras.ops.sum(y * y * y)

    def slopes(points, rows):
        return np.concatenate(
            [x.ravel() for x in checks.gradients(energy, points, rows)]
        )

    def square_of_slopes(points, rows):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch([points, rows])
                value = energy(points, rows)
            found = tape.gradient(value, [points, rows])
        elif keras.backend.backend() == "jax":
            import jax

            found = jax.grad(energy, argnums=(0, 1))(points, rows)
        else:
            import torch

            found = torch.autograd.grad(
                energy(points, rows), [points, rows], create_graph=True
            )
        return sum(keras.ops.sum(keras.ops.square(x)) for x in found)

    of_points, of_rows = checks.gradients(square_of_slopes, points, rows)
    for wanted, at, step in ((of_points, 0, 2e-3), (of_rows, 1, 1e-2)):
        change = rng.uniform(-1, 1, wanted.shape).astype("float32")
        ends = []
        for sign in (1, -1):
            moved = [points, rows]
            moved[at] = moved[at] + sign * step * change
            ends.append(np.sum(slopes(*moved).astype("float64") ** 2))
        np.testing.assert_allclose(
            np.sum(wanted * change), (ends[0] - ends[1]) / (2 * step), rtol=2e-2
        )


def test_half_precision(rng):
    points = rng.uniform(0, 1, (1, 5, 3))
    table = rng.uniform(0, 1, (1, 64, 3))
    found = read(
        keras.ops.cast(points, "bfloat16"),
        keras.ops.cast(table, "bfloat16"),
        "linear",
    )
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
