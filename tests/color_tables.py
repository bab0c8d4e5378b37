"""What the tests of color tables in files share."""

import random

import numpy as np
import pytest

from keras_perceptual.io import ColorTable

# The corners of a cube in the order of a file: red fastest, blue slowest.
CORNERS = [(r, g, b) for b in (0, 1) for g in (0, 1) for r in (0, 1)]


def assert_same(found, expected):
    for name in ("curves", "cube"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.shape == other.shape
            assert one.tobytes() == other.tobytes()
    for name in ("curves_domain", "cube_domain", "title"):
        assert getattr(found, name) == getattr(expected, name)


def mutated(generator, content):
    """Returns a file with a few random changes."""
    pieces = [
        b"", b"\n", b"\r", b" ", b"#", b"-", b".", b"e", b"9", b"nan", b",",
        b"\0", b"\xff", b'"', b"1e39", b"LUT_3D_SIZE 3\n", b"0 0 0\n", b"_",
    ]  # fmt: skip
    content = bytearray(content)
    for _ in range(generator.choice((1, 1, 1, 2, 5))):
        start = generator.randrange(len(content) + 1)
        end = start + generator.choice((0, 0, 1, 1, 2, 10))
        content[start:end] = generator.choice(pieces)
    return bytes(content)


def grid(size, low=0.0, high=1.0):
    """Returns the colors that the entries of a cube stand for."""
    axes = np.linspace(low * np.ones(3), high * np.ones(3), size).T
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def apply_with_opencolorio(path, colors, inverse=False):
    """Returns colors as OpenColorIO has them; the inverse by tetrahedra."""
    opencolorio = pytest.importorskip("PyOpenColorIO")
    transform = opencolorio.FileTransform(
        str(path), interpolation=opencolorio.INTERP_LINEAR
    )
    if inverse:
        transform.setInterpolation(opencolorio.INTERP_TETRAHEDRAL)
        transform.setDirection(opencolorio.TRANSFORM_DIR_INVERSE)
    processor = opencolorio.Config.CreateRaw().getProcessor(transform)
    processor = processor.getOptimizedCPUProcessor(
        opencolorio.OPTIMIZATION_NONE
    )
    colors = np.array(colors, "float32")
    processor.applyRGB(colors)
    return colors


def apply_by_hand(table, colors):
    """Looks up colors that lie on entries of the first table."""
    colors = np.array(colors, "float64")
    for values, domain in (
        (table.curves, table.curves_domain),
        (table.cube, table.cube_domain),
    ):
        if values is None:
            continue
        low, high = np.array(domain)
        place = (colors - low) / (high - low) * (len(values) - 1)
        place = np.clip(place, 0, len(values) - 1)
        below = np.minimum(place.astype(int), len(values) - 2)
        share = place - below
        if values.ndim == 2:
            pick = [values[below + i, range(3)] for i in (0, 1)]
            colors = pick[0] * (1 - share) + pick[1] * share
            continue
        result = 0
        for corner in CORNERS:
            weight = np.where(np.array(corner) == 1, share, 1 - share)
            entry = values[tuple((below + corner).T)]
            result = result + weight.prod(axis=-1, keepdims=True) * entry
        colors = result
    return colors


def check_damage(read, sources, path, refused, count):
    """Files with damage are read whole, or refused with our own errors.

    Args:
        read: Function of a path that returns a table.
        sources: List of bytes, the files to damage.
        path: Path to write to, in a folder that is thrown away.
        refused: Beginnings of the messages that may come.
        count: How many files to try.
    """
    generator = random.Random(0)
    outcomes = {True: 0, False: 0}
    for number in range(count):
        damaged = mutated(generator, sources[number % len(sources)])
        # Emptying one file over and over makes some disks wait.
        place = path.with_stem(f"{path.stem}{number}")
        place.write_bytes(damaged)
        try:
            table = read(place)
        except ValueError as error:
            assert str(error).startswith(refused), damaged
            assert "Received: " in str(error)
            outcomes[False] += 1
        else:
            assert isinstance(table, ColorTable)
            outcomes[True] += 1
        place.unlink()
    assert min(outcomes.values()) > count / 20, outcomes
