import numpy as np
import pytest

from keras_perceptual.io import ColorTable
from keras_perceptual.layers.table_files import (
    from_color_table,
    to_color_table,
)


@pytest.fixture
def cube(rng):
    return rng.uniform(0, 1, (3, 3, 3, 3)).astype("float32")


def test_there_and_back_again(cube):
    curves = np.float32([[0, 0, 0], [0.5, 0.25, 1], [1, 1, 1]])
    for shaper in (None, curves):
        table = to_color_table("Layer.to_cube", cube, shaper, (0.0, 4.0), "t")
        assert table.title == "t"
        known, entries, found = from_color_table("Layer.from_cube", table)
        np.testing.assert_allclose(entries, cube, atol=1e-6)
        assert known["value_range"] == (0.0, 4.0)
        assert known["dimensions"] == 3
        assert known.get("shaper_size") == (None if shaper is None else 3)
        if shaper is not None:
            np.testing.assert_array_equal(found, shaper)


def test_one_curve_is_written_for_each_channel():
    curve = np.float32([[0], [1]])
    table = to_color_table("Layer.to_cube", curve, None, (0.0, 1.0), "")
    assert table.curves.tolist() == [[0, 0, 0], [1, 1, 1]]
    known, _, shaper = from_color_table("Layer.from_cube", table)
    assert known == {"size": 2, "dimensions": 1, "value_range": (0.0, 1.0)}
    assert shaper is None


def test_domains_that_differ(cube):
    domain = ((0, 0, 0), (1, 1, 2))
    message = r"^Layer.from_cube makes a layer with one range.*Received: domain"
    curves = np.float32([[0, 0, 0], [1, 1, 1]])
    for table in (
        ColorTable(cube=cube, cube_domain=domain),
        ColorTable(cube=cube, cube_domain=domain, curves=curves),
        ColorTable(cube=cube, curves_domain=domain, curves=curves),
    ):
        with pytest.raises(ValueError, match=message):
            from_color_table("Layer.from_cube", table)
