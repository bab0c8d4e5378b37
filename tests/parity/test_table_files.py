"""A hundred files of each format, as other programs write them."""

import numpy as np
import pytest
from color_tables import apply_with_opencolorio

from keras_perceptual.io import apply_table, read_table

COUNT = 100
# The name that OpenColorIO's baker has for a format, and how its files end.
BAKED = [
    ("flame", ".3dl"),
    ("lustre", ".3dl"),
    ("cinespace", ".csp"),
    ("iridas_cube", ".cube"),
    ("resolve_cube", ".cube"),
    ("spi1d", ".spi1d"),
    ("spi3d", ".spi3d"),
]
WRITTEN = [
    ("Academy/ASC Common LUT Format", ".clf"),
    ("Color Transform Format", ".ctf"),
]


def assert_read_alike(path, rng):
    """Compares what we make of a file with what OpenColorIO does."""
    colors = rng.uniform(-0.2, 1.2, (200, 3))
    expected = apply_with_opencolorio(path, colors)
    found = apply_table(read_table(path), colors)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(("format", "suffix"), BAKED)
def test_tables_that_opencolorio_bakes(format, suffix, tmp_path, rng):
    ocio = pytest.importorskip("PyOpenColorIO")
    for number in range(COUNT):
        config = ocio.Config.CreateRaw()
        for name, low, high in (
            ("source", 1, 1), ("shaper", 0.4, 1), ("target", 0.5, 2.5)
        ):  # fmt: skip
            space = ocio.ColorSpace(name=name)
            powers = rng.uniform(low, high, 3)
            if format == "spi1d":
                powers[:] = powers[0]
            space.setTransform(
                ocio.ExponentTransform([*powers, 1.0]),
                ocio.COLORSPACE_DIR_FROM_REFERENCE,
            )
            config.addColorSpace(space)
        baker = ocio.Baker()
        baker.setConfig(config)
        baker.setFormat(format)
        baker.setInputSpace("source")
        baker.setTargetSpace("target")
        takes_shaper = format in ("cinespace", "resolve_cube")
        if takes_shaper and number % 2:
            baker.setShaperSpace("shaper")
        # Of Lustre's, a power of two and one more; of 3, it reads none itself.
        baker.setCubeSize((17, 5, 9)[number % 3])
        if takes_shaper:
            baker.setShaperSize(int(rng.integers(4, 40)))
        path = tmp_path / f"{number}{suffix}"
        path.write_text(baker.bake())
        assert_read_alike(path, rng)


@pytest.mark.once
@pytest.mark.parametrize(("format", "suffix"), WRITTEN)
def test_lists_that_opencolorio_writes(format, suffix, tmp_path, rng):
    ocio = pytest.importorskip("PyOpenColorIO")
    for number in range(COUNT):
        group = ocio.GroupTransform()
        if number % 2:
            low, high = np.sort(rng.uniform(-1, 2, 2))
            scale = ocio.RangeTransform()
            scale.setMinInValue(low)
            scale.setMaxInValue(high + 0.1)
            scale.setMinOutValue(0.0)
            scale.setMaxOutValue(1.0)
            group.appendTransform(scale)
        size = int(rng.integers(2, 8))
        if number % 4 < 2:
            table = ocio.Lut3DTransform(size)
            shape = (size,) * 3 + (3,)
        else:
            table = ocio.Lut1DTransform(size, False)
            shape = (size, 3)
        table.setData(rng.uniform(0, 1, shape).astype("float32").ravel())
        table.setFileOutputBitDepth(
            (ocio.BIT_DEPTH_F32, ocio.BIT_DEPTH_F16)[number % 2]
        )
        group.appendTransform(table)
        if number % 3:
            matrix = np.eye(4)
            matrix[:3, :3] = rng.uniform(-0.5, 1, (3, 3))
            shift = [*rng.uniform(-0.5, 0.5, 3), 0]
            group.appendTransform(
                ocio.MatrixTransform(matrix.ravel().tolist(), shift)
            )
        path = tmp_path / f"{number}{suffix}"
        group.write(
            formatName=format,
            config=ocio.Config.CreateRaw(),
            fileName=str(path),
        )
        assert_read_alike(path, rng)


@pytest.mark.once
@pytest.mark.parametrize("suffix", [".cube", ".csp", ".spi1d", ".spi3d"])
def test_tables_that_colour_science_writes(suffix, tmp_path, rng):
    colour = pytest.importorskip("colour")
    for number in range(COUNT):
        size = int(rng.integers(2, 9))
        domain = np.array([[0.0] * 3, [1.0] * 3])
        if suffix in (".cube", ".csp") and number % 2:
            domain = np.array([rng.uniform(-1, 0, 3), rng.uniform(1, 3, 3)])
        is_cube = suffix == ".spi3d" or (suffix != ".spi1d" and number % 4 < 2)
        shape = (size,) * 3 + (3,) if is_cube else (size, 3)
        kind = colour.LUT3D if is_cube else colour.LUT3x1D
        table = kind(rng.uniform(-0.5, 1.5, shape), f"Look {number}", domain)
        path = tmp_path / f"{number}{suffix}"
        colour.write_LUT(table, str(path), decimals=9)
        found = read_table(path)
        name = "cube" if is_cube else "curves"
        entries = getattr(found, name)
        np.testing.assert_allclose(entries, table.table, atol=1e-6)
        expected = getattr(found, f"{name}_domain")
        np.testing.assert_allclose(expected, domain, atol=1e-6)
        assert_read_alike(path, rng)
