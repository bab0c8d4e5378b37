import numpy as np
import pytest

from keras_perceptual.layers.table_files import (
    covered,
    from_color_table,
    moved,
    to_color_table,
)

UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
DOMAIN = ((-1.0, 0.0, 0.0), (1.0, 1.0, 3.0))


@pytest.fixture
def cube(rng):
    return rng.uniform(0, 1, (3, 3, 3, 3)).astype("float32")


def test_there_and_back_again(cube):
    curves = np.float32([[0, 0, 0], [0.5, 0.25, 1], [1, 1, 1]])
    behind = ((0.0, 0.0, -2.0), (1.0, 2.0, 2.0))
    for shaper in (None, curves):
        table = to_color_table("Layer.to", cube, shaper, (DOMAIN, behind), "t")
        assert table.title == "t"
        known, entries, found = from_color_table(table)
        np.testing.assert_allclose(entries, cube, atol=1e-6)
        assert known["value_range"] == (-1.0, 3.0)
        assert known["dimensions"] == 3
        assert known.get("shaper_size") == (None if shaper is None else 3)
        if shaper is None:
            assert known["cube_domain"] == DOMAIN
            assert "curves_domain" not in known
        else:
            assert known["curves_domain"] == DOMAIN
            assert known["cube_domain"] == behind
            np.testing.assert_allclose(found, shaper, atol=1e-6)


def test_one_curve_is_written_for_each_channel():
    curve = np.float32([[0], [1]])
    table = to_color_table("Layer.to", curve, None, (UNIT, UNIT), "")
    assert table.curves.tolist() == [[0, 0, 0], [1, 1, 1]]
    known, _, shaper = from_color_table(table)
    assert known == {"size": 2, "dimensions": 1, "value_range": (0.0, 1.0)}
    assert shaper is None


def test_entries_from_zero_to_one_keep_their_bits(cube):
    table = to_color_table("Layer.to", cube, cube[0, 0], (UNIT, UNIT), "")
    _, entries, shaper = from_color_table(table)
    assert entries.tobytes() == cube.tobytes()
    assert shaper.tobytes() == cube[0, 0].tobytes()


def test_edges_of_different_sizes_are_refused():
    oblong = np.zeros((2, 3, 4, 3), "float32")
    with pytest.raises(ValueError, match=r"^Layer.to writes.*=\(2, 3, 4\)$"):
        to_color_table("Layer.to", oblong, None, (UNIT, UNIT), "")


def test_domains_are_moved_by_their_ends():
    assert covered(DOMAIN) == (-1.0, 3.0)
    assert moved(DOMAIN, (-1.0, 3.0)) == DOMAIN
    assert moved(DOMAIN, (0.0, 8.0)) == ((0.0, 2.0, 2.0), (4.0, 4.0, 8.0))
    # The ends come without rounding, whatever the numbers.
    ends = (0.1, 0.7)
    assert covered(moved(((0.3,) * 3, (1.1,) * 3), ends)) == ends
