"""Our look-ups beside those of other tools, where they are installed."""

import keras
import numpy as np
import pytest

from keras_perceptual import ops
from keras_perceptual.ops.value_range import clamp

SIZES = [2, 17, 33]


def look_up(colors, table, interpolation="linear"):
    """Returns our colors, those outside the table clamped as others do."""
    colors = clamp(colors, 0.0, 1.0)
    if table.ndim == 2:
        found = ops.look_up_curves(colors, table, interpolation)
    else:
        found = ops.look_up_cube(colors, table, interpolation)
    return keras.ops.convert_to_numpy(found)


@pytest.fixture
def colors(rng):
    """Colors of a photograph's kind and of none: outside, grays, corners."""
    found = rng.uniform(-0.1, 1.1, (1000, 3)).astype("float32")
    found[:100] = found[:100, :1]
    found[100:164] = ops.identity_cube(4).reshape(-1, 3)
    return found


@pytest.fixture(params=SIZES)
def cube(request, rng):
    size = request.param
    return rng.uniform(0, 1, (size, size, size, 3)).astype("float32")


@pytest.fixture(params=SIZES)
def curves(request, rng):
    return rng.uniform(0, 1, (request.param, 3)).astype("float32")


def run_opencolorio(ocio, transform, colors):
    processor = ocio.Config.CreateRaw().getProcessor(transform)
    result = colors.copy()
    # As exact as it has it: optimizing merges and approximates.
    processor.getOptimizedCPUProcessor(ocio.OPTIMIZATION_NONE).applyRGB(result)
    return result


@pytest.mark.parametrize("interpolation", ["linear", "tetrahedral"])
def test_cube_of_opencolorio(colors, cube, interpolation):
    ocio = pytest.importorskip("PyOpenColorIO")
    transform = ocio.Lut3DTransform(len(cube))
    # Blue runs fastest there, as in an array indexed [r, g, b].
    transform.setData(cube.ravel())
    transform.setInterpolation(
        {
            "linear": ocio.INTERP_LINEAR,
            "tetrahedral": ocio.INTERP_TETRAHEDRAL,
        }[interpolation]
    )
    np.testing.assert_allclose(
        look_up(colors, cube, interpolation),
        run_opencolorio(ocio, transform, colors),
        rtol=0,
        atol=5e-7,
    )


def test_curves_of_opencolorio(colors, curves):
    ocio = pytest.importorskip("PyOpenColorIO")
    transform = ocio.Lut1DTransform(len(curves), False)
    transform.setData(curves.ravel())
    np.testing.assert_allclose(
        look_up(colors, curves),
        run_opencolorio(ocio, transform, colors),
        rtol=0,
        atol=5e-7,
    )


@pytest.mark.parametrize(
    ("interpolation", "theirs"),
    [
        ("linear", "table_interpolation_trilinear"),
        ("tetrahedral", "table_interpolation_tetrahedral"),
    ],
)
def test_cube_of_colour_science(colors, cube, interpolation, theirs):
    colour = pytest.importorskip("colour")
    expected = colour.LUT3D(cube).apply(
        colors, interpolator=getattr(colour.algebra, theirs)
    )
    np.testing.assert_allclose(
        look_up(colors, cube, interpolation), expected, rtol=0, atol=5e-7
    )


def test_curves_of_colour_science(colors, curves):
    colour = pytest.importorskip("colour")
    # It goes on beyond the ends, in a way of its own.
    expected = colour.LUT3x1D(curves).apply(np.clip(colors, 0, 1))
    np.testing.assert_allclose(
        look_up(colors, curves), expected, rtol=0, atol=5e-7
    )


def test_cube_of_pillow(rng, cube):
    image = pytest.importorskip("PIL.Image")
    filters = pytest.importorskip("PIL.ImageFilter")
    pixels = rng.integers(0, 256, (16, 16, 3), "uint8")
    pixels[0] = np.arange(16)[:, None] * 17
    # Red runs fastest there.
    table = filters.Color3DLUT(
        len(cube), cube.transpose(2, 1, 0, 3).ravel().tolist()
    )
    expected = np.asarray(image.fromarray(pixels).filter(table), "float32")
    found = look_up((pixels / 255).astype("float32"), cube)
    # It computes with 16-bit integers and rounds to 8 bits.
    assert np.abs(255 * found - expected).max() <= 1
