import numpy as np
import pytest

from keras_perceptual.io import ColorTable, table_parts

CURVES = ColorTable(curves=np.eye(3))
CUBE = ColorTable(cube=np.zeros((2, 2, 2, 3)))
BOTH = ColorTable(curves=np.eye(3), cube=np.ones((2, 2, 2, 3)))
WIDE = ColorTable(cube=CUBE.cube, cube_domain=((0, 0, 0), (1, 1, 2)))


def test_what_a_format_holds_is_taken():
    assert table_parts.take_curves("f", CURVES) is CURVES.curves
    assert table_parts.take_cube("f", BOTH) is BOTH.cube
    assert table_parts.take_only_cube("f", CUBE) is CUBE.cube
    assert table_parts.one_range("f", ((-1,) * 3, (2,) * 3)) == (-1, 2)


@pytest.mark.parametrize(
    ("take", "table", "message"),
    [
        ("take_curves", CUBE, "writes curves alone"),
        ("take_curves", BOTH, "writes curves alone"),
        ("take_cube", CURVES, "writes a cube, and this table has none"),
        ("take_cube", WIDE, "no place for another domain"),
        ("take_only_cube", BOTH, "writes a cube alone"),
        ("take_only_cube", WIDE, "no place for another domain"),
    ],
)
def test_what_it_does_not_hold_is_refused(take, table, message):
    with pytest.raises(ValueError, match=rf"^f .*{message}.*Received: Color"):
        getattr(table_parts, take)("f", table)
    with pytest.raises(TypeError, match=r"^f works on a ColorTable"):
        getattr(table_parts, take)("f", table.cube)


def test_a_domain_for_each_channel_is_refused():
    for domain in (((0, 0, 0), (1, 1, 2)), ((0, -1, 0), (1, 1, 1))):
        with pytest.raises(ValueError, match=r"^f writes one domain for all"):
            table_parts.one_range("f", domain)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_entries_become_whole_numbers(bits):
    white = 2**bits - 1
    entries = np.float32([0, 1, 0.5, 1 / 3, -0.4 / white, 1 + 0.4 / white])
    expected = [0, white, round(white / 2), round(white / 3), 0, white]
    assert table_parts.to_codes("f", entries, bits).tolist() == expected
    for outside in (-0.6 / white, 1 + 0.6 / white):
        message = f"^f writes whole.*and {white} for white.*: 1 entries below"
        with pytest.raises(ValueError, match=message):
            table_parts.to_codes("f", np.array([0, outside]), bits)


def test_other_bits_are_refused():
    table_parts.check_bits("f", None, (8, 16))
    table_parts.check_bits("f", 16, (8, 16))
    with pytest.raises(ValueError, match=r"^f writes .*8, 16 bits.*bits=12$"):
        table_parts.check_bits("f", 12, (8, 16))
