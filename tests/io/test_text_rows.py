import numpy as np
import pytest

from keras_perceptual.io.text_rows import Rows, is_keyword, row_problem
from keras_perceptual.io.text_source import Source

SOURCE = Source("look.cube", "cube")

GOOD_ROWS = [
    (b"0 0 0", [0, 0, 0]),
    (b"  1 2\t 3 \t", [1, 2, 3]),
    (b"+.5 -0.25 1.", [0.5, -0.25, 1]),
    (b"1e-3 1E+2 -2.5e0", [1e-3, 100, -2.5]),
    (b"007 1e007 0.10", [7, 1e7, 0.1]),
    (b"3.4028235e38 -3.4028235e38 1e-45", [3.4028235e38, -3.4028235e38, 1e-45]),
    (b"1e-999 0e999999999 -0", [0, 0, -0.0]),
    (b"0." + b"3" * 1000 + b" 0 0", [1 / 3, 0, 0]),
]
# Each with what is said of it.
BAD_ROWS = [
    (b"0 0", "three numbers.* and not 2. Write one row in each line"),
    (b"0 0 0 0", "three numbers.* and not 4"),
    (b"0,5 0,5 0,5", "a decimal point, and spaces"),
    (b"0.5, 0.5, 0.5", "a decimal point, and spaces"),
    (b"0.5;0.5;0.5", "a decimal point, and spaces"),
    (b"0 0 0 # black", "A comment has a line of its own. Move it"),
    (b"0 0 nan", "'nan' is not finite in float32. Put a number there"),
    (b"NaN 0 0", "'NaN' is not finite"),
    (b"inf 0 0", "'inf' is not finite"),
    (b"0 -Infinity 0", "'-Infinity' is not finite"),
    (b"0 0 1e39", "'1e39' is not finite in float32"),
    (b"0 0 3.4028236e38", "'3.4028236e38' is not finite"),
    (b"0 0 1e999999999999", "is not finite"),
    (b"0 0 1_000", "'1_000' is no decimal number"),
    (b"0 0 0x10", "'0x10' is no decimal number"),
    (b"0 0 1d3", "'1d3' is no decimal number"),
    (b"0 0 1.5f", "'1.5f' is no decimal number"),
    (b"0 0 1.2.3", "'1.2.3' is no decimal number"),
    (b"0 0 1-2", "'1-2' is no decimal number"),
    (b"0 0 --1", "'--1' is no decimal number"),
    (b"0 0 -", "'-' is no decimal number"),
    (b"0 0 .", "'.' is no decimal number"),
    (b"0 0 1e", "'1e' is no decimal number"),
    (b"0 0 e5", "'e5' is no decimal number"),
    (b"0 0 1e1.5", "'1e1.5' is no decimal number"),
    (b"0 0 \xd9\xa1", "is no decimal number"),
    (b"0 0 \xef\xbc\x91", "is no decimal number"),
    (b"0 0\xc2\xa00", "three numbers"),
    (b"0 0\x0b0", "three numbers"),
    (b"\x0c", "three numbers"),
    (b"0\x00 0 0", "is no decimal number"),
    (b"<LUT>", "three numbers"),
    (b"LUT_3D_SIZE 2", "Keywords come before the first row. Move"),
    (b"title", "Keywords come before the first row"),
    (b"black 0 0", "Keywords come before the first row"),
]


def read(lines, expected):
    rows = Rows(SOURCE, {"LUT_1D_SIZE": expected})
    rows.read(5, lines)
    return rows.finish(5 + len(lines))


@pytest.mark.parametrize(("line", "row"), GOOD_ROWS)
def test_a_row_is_read_to_the_nearest_values(line, row):
    assert row_problem(line) is None
    found = read([line], 1)
    assert found.dtype == np.float32
    assert found.tobytes() == np.array([row], "float32").tobytes()


@pytest.mark.parametrize(("line", "message"), BAD_ROWS)
def test_a_row_with_a_mistake_is_found_among_others(line, message):
    lines = [b"# comment", b"0 0 0", b"", line, b"1 1 1", b"no row"]
    message = f"(?s)line 8 of 'look.cube'.*{message}.*Received: "
    with pytest.raises(ValueError, match=message):
        read(lines, 3)


@pytest.mark.parametrize("line", [b"", b" \t", b"#", b" \t# 1 2", b"#nan \xff"])
def test_comments_and_blank_lines_are_no_rows(line):
    assert row_problem(line) is None
    found = read([line, b"1 2 3", line, b"4 5 6", line], 2)
    assert found.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_rows_come_in_any_number_of_parts():
    rows = Rows(SOURCE, {"LUT_1D_SIZE": 2, "LUT_3D_SIZE": 1})
    rows.read(3, [])
    rows.read(3, [b"1 1 1", b"2 2 2"])
    rows.read(5, [b"# end"])
    rows.read(6, [b"3 3 3", b""])
    assert rows.finish(8)[:, 0].tolist() == [1, 2, 3]


def test_too_few_rows_are_counted():
    rows = Rows(SOURCE, {"LUT_1D_SIZE": 2, "LUT_3D_SIZE": 8})
    rows.read(3, [b"1 1 1", b"2 2 2"])
    message = (
        r"line 5 of .* should have 10 rows \(2 for LUT_1D_SIZE and 8 for "
        r"LUT_3D_SIZE\) and has 2\. Check whether it was cut off, or mend "
        r"the size\. Received: the end of the file$"
    )
    with pytest.raises(ValueError, match=message):
        rows.finish(5)


def test_the_first_row_too_many_is_named():
    rows = Rows(SOURCE, {"LUT_1D_SIZE": 2})
    rows.read(3, [b"1 1 1"])
    message = "line 7 .*should have 2 rows.*one more.*Received: '3 3 3'$"
    with pytest.raises(ValueError, match=message):
        rows.read(4, [b"# two", b"2 2 2", b"", b"3 3 3", b"4 4 4"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"TITLE", True),
        (b"info 3", True),
        (b"nano", True),
        (b"_a", True),
        (b"nan 0 0", False),
        (b"INF", False),
        (b"Infinity 0", False),
        (b"0", False),
        (b"", False),
        (b"# TITLE", False),
    ],
)
def test_keywords_are_told_from_numbers(line, expected):
    assert bool(is_keyword(line)) is expected
