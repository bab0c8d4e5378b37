import numpy as np
import pytest

from keras_perceptual.io.cube_header import Header
from keras_perceptual.io.text_source import Source

SOURCE = Source("look.cube", "cube")

UNIT = ((0.0,) * 3, (1.0,) * 3)
SIZE = b"LUT_3D_SIZE 2\n"


def read(text, row=b"0 0 0"):
    lines = [*text.split(b"\n"), row]
    header = Header(SOURCE)
    used = header.read(1, lines)
    assert used == len(lines) - 1
    return header, header.start_rows(used + 1, row)["expected"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"LUT_1D_SIZE 2", {"LUT_1D_SIZE": 2}),
        (b"LUT_1D_SIZE 65536", {"LUT_1D_SIZE": 65536}),
        (b"lut_3d_size\t033 ", {"LUT_3D_SIZE": 35937}),
        (b"  Lut_3D_Size   256", {"LUT_3D_SIZE": 16777216}),
        (
            b"LUT_3D_SIZE 3\n# and\n\nLUT_1D_SIZE 4",
            {"LUT_1D_SIZE": 4, "LUT_3D_SIZE": 27},
        ),
    ],
)
def test_sizes_say_how_many_rows_follow(text, expected):
    header, found = read(text)
    # Curves come before the cube, whatever the order of the keywords.
    assert list(found.items()) == list(expected.items())
    assert set(header.domains.values()) == {UNIT}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (b'TITLE "Look"', "Look"),
        (b'title\t"  A look: #1 "  ', "  A look: #1 "),
        (b"TITLE A look", "A look"),
        (b'TITLE "A "warm" look"', 'A "warm" look'),
        (b'TITLE "', '"'),
        (b'TITLE ""', ""),
        (b"TITLE", ""),
        (b'TITLE "\xc3\x89t\xc3\xa9 \xe9"', "Été \ufffd"),
        (b'TITLE "LUT_3D_SIZE 4"', "LUT_3D_SIZE 4"),
    ],
)
def test_a_title_is_what_stands_between_the_quotes(text, title):
    header, _ = read(SIZE + text)
    assert header.values["TITLE"] == title


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"DOMAIN_MIN -1 -.5 0", ((-1.0, -0.5, 0.0), UNIT[1])),
        (b"domain_max 1 2 3e0", (UNIT[0], (1.0, 2.0, 3.0))),
        (b"LUT_3D_INPUT_RANGE -0.1\t3.", ((-0.1,) * 3, (3.0,) * 3)),
        (
            b"DOMAIN_MIN 0 0 0\nLUT_3D_INPUT_RANGE 0 2\nDOMAIN_MAX 2 2 2",
            ((0.0,) * 3, (2.0,) * 3),
        ),
    ],
)
def test_domains_are_those_of_the_table(text, expected):
    header, _ = read(SIZE + text)
    assert header.domains == {"LUT_3D_SIZE": expected, "LUT_1D_SIZE": UNIT}
    header, _ = read((SIZE + text).replace(b"3D", b"1D"))
    assert header.domains == {"LUT_1D_SIZE": expected, "LUT_3D_SIZE": UNIT}


def test_curves_and_a_cube_have_a_range_each():
    header, _ = read(
        SIZE + b"LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0 4\nLUT_3D_INPUT_RANGE -1 2"
    )
    assert header.domains["LUT_1D_SIZE"] == ((0.0,) * 3, (4.0,) * 3)
    assert header.domains["LUT_3D_SIZE"] == ((-1.0,) * 3, (2.0,) * 3)


@pytest.mark.parametrize(
    "text",
    [
        SIZE + b"LUT_1D_INPUT_RANGE 0.0 1.0",
        b"LUT_1D_SIZE 2\nLUT_3D_INPUT_RANGE 0 1",
    ],
)
def test_a_range_of_nothing_may_be_that_of_all(text):
    header, _ = read(text)
    assert header.domains == {"LUT_1D_SIZE": UNIT, "LUT_3D_SIZE": UNIT}


@pytest.mark.parametrize(
    "note",
    [
        b'BMD_TITLE "my look"',
        b"bmd_title look",
        b"  BMD_TITLE",
        b"CREATED_BY me",
        b"COPYRIGHT\t2020",
        b"Comment: DOMAIN_MAX 2 2 2",
        b"DATE=2020",
    ],
)
def test_notes_are_passed_over(note):
    for text in (note + b"\n" + SIZE, SIZE + note, SIZE + note + b"\n" + note):
        header, expected = read(text)
        assert (expected, header.values) == (
            {"LUT_3D_SIZE": 8},
            {"LUT_3D_SIZE": 2},
        )


def test_reading_ends_at_the_first_row():
    header = Header(SOURCE)
    assert header.read(1, [b"# a", b"LUT_1D_SIZE 2", b"0 0 0", b"?"]) == 2
    assert header.read(1, [b"nan 0 0"]) == 0
    assert header.read(1, [b"# a", b""]) == 2


# Each with the line of the mistake and what is said of it.
MISTAKES = [
    (b"LUT_3D_SIZE 1", 1, "one whole number from 2 to 256. Sample"),
    (b"LUT_3D_SIZE 257", 1, "from 2 to 256"),
    (b"LUT_1D_SIZE 1", 1, "one whole number from 2 to 65536"),
    (b"LUT_1D_SIZE 65537", 1, "from 2 to 65536"),
    (b"LUT_3D_SIZE", 1, "from 2 to 256"),
    (b"LUT_3D_SIZE 2 2 2", 1, "one whole number"),
    (b"LUT_3D_SIZE -2", 1, "one whole number"),
    (b"LUT_3D_SIZE 2.0", 1, "one whole number"),
    (b"LUT_3D_SIZE 2e1", 1, "one whole number"),
    (b"LUT_3D_SIZE 1_6", 1, "one whole number"),
    (b"LUT_3D_SIZE \xd9\xa2", 1, "one whole number"),
    (b"LUT_3D_SIZE 2 # two", 1, "one whole number"),
    (b"LUT_3D_SIZE " + b"9" * 4000, 1, "one whole number"),
    (SIZE + b"DOMAIN_MIN 0 0", 2, "DOMAIN_MIN is followed by 3 finite numbers"),
    (SIZE + b"DOMAIN_MAX 1 1 1 1", 2, "`DOMAIN_MAX 0.5 0.5 0.5`"),
    (SIZE + b"DOMAIN_MAX 1 1 x", 2, "DOMAIN_MAX is followed by 3"),
    (SIZE + b"DOMAIN_MAX 1 1 1_0", 2, "DOMAIN_MAX is followed by 3"),
    (SIZE + b"DOMAIN_MAX 1,5 1,5 1,5", 2, "with a decimal point"),
    (SIZE + b"DOMAIN_MAX 1 1 inf", 2, "finite"),
    (SIZE + b"DOMAIN_MAX 1 1 1e400", 2, "finite"),
    (SIZE + b"DOMAIN_MAX 1 1\x0b1", 2, "spaces"),
    (SIZE + b"LUT_3D_INPUT_RANGE 0", 2, "followed by 2 finite numbers"),
    (SIZE + b"LUT_3D_INPUT_RANGE 0 0 0", 2, "followed by 2 finite numbers"),
    (SIZE + b"DOMAIN_MIN 0 1 0", 2, "here they are 1.0 and 1.0. Mend DOMAIN_M"),
    (
        SIZE + b"DOMAIN_MIN 0 3 0\nDOMAIN_MAX 1 2 1",
        3,
        "here they are 3.0 and 2.0. Mend DOMAIN_MIN or DOMAIN_MAX",
    ),
    (SIZE + b"LUT_3D_INPUT_RANGE 1 0", 2, "lowest value of a channel has to"),
    (SIZE + b"LUT_3D_INPUT_RANGE -1e308 1e308", 2, "lowest value"),
    (SIZE + SIZE, 2, "LUT_3D_SIZE stands in line 1 already.*Take one"),
    (SIZE + b'TITLE "a"\nTitle "a"', 3, "TITLE stands in line 2 already"),
    (SIZE + b"DOMAIN_MIN 0 0 0\nDOMAIN_MIN 0 0 0", 3, "in line 2 already"),
    (
        SIZE + b"LUT_1D_SIZE 2\nDOMAIN_MAX 2 2 2",
        3,
        "does not say which of them.*Use LUT_1D_INPUT_RANGE and LUT_3D_INPUT_R",
    ),
    (SIZE + b"LUT_1D_INPUT_RANGE 0 2", 2, "the file has no LUT_1D_SIZE for"),
    (SIZE + b"LUT_1D_INPUT_RANGE 0 0", 2, "the file has no LUT_1D_SIZE for"),
    (b"LUT_3D_INPUT_RANGE 0 2\nLUT_1D_SIZE 2", 1, "has no LUT_3D_SIZE for"),
    (
        SIZE + b"DOMAIN_MAX 2 2 2\nLUT_3D_INPUT_RANGE 0 1",
        3,
        "DOMAIN_MAX say something else. Take out what is wrong",
    ),
    (SIZE + b"LUT_IN_VIDEO_RANGE", 2, "in video range, 64 to 940.*full range"),
    (SIZE + b"lut_out_video_range", 2, "in video range, 64 to 940"),
    (SIZE + b"LUT_2D_SIZE 4", 2, "Did you mean LUT_.D_SIZE or LUT_.D_SIZE"),
    (SIZE + b"DOMAINMIN 0 0 0", 2, "Did you mean DOMAIN_MIN"),
    (SIZE + b"Made by hand", 2, "MADE is not a keyword.*put # before"),
    (SIZE + b"x" * 4000, 2, "X{40} is not a keyword"),
    (b"", 2, "A line with LUT_1D_SIZE or LUT_3D_SIZE.*should come before"),
    (b'TITLE "a"', 2, "should come before. Check that this is a .cube file"),
]


@pytest.mark.parametrize(("text", "number", "message"), MISTAKES)
def test_a_header_with_a_mistake_is_refused(text, number, message):
    message = f"(?s)in line {number} of 'look.cube'.*{message}.*Received: '"
    with pytest.raises(ValueError, match=message):
        read(text)


def test_another_file_is_said_to_have_no_rows_first():
    with pytest.raises(ValueError, match=r"line 2 .*A row is three numbers"):
        read(b"", row=b"<?xml version='1.0'?>")


def test_a_file_may_end_before_its_rows():
    header = Header(SOURCE)
    header.read(1, [b"# a", b""])
    message = "line 2 .*should come before.*Received: the end of the file$"
    with pytest.raises(ValueError, match=message):
        header.start_rows(2, None)


def test_the_table_has_the_rows_in_their_order():
    """Curves come first, and of the cube red runs fastest."""
    header, _ = read(
        b'TITLE "Look"\nLUT_1D_SIZE 3\nLUT_1D_INPUT_RANGE 0 4\n' + SIZE
    )
    rows = np.arange(33.0).reshape(11, 3)
    table = header.make_table(rows)
    np.testing.assert_array_equal(table.curves, rows[:3])
    np.testing.assert_array_equal(table.cube[1, 0, 0], rows[3 + 1])
    np.testing.assert_array_equal(table.cube[0, 1, 0], rows[3 + 2])
    np.testing.assert_array_equal(table.cube[0, 0, 1], rows[3 + 4])
    assert table.curves_domain == ((0.0,) * 3, (4.0,) * 3)
    assert (table.cube_domain, table.title) == (UNIT, "Look")


@pytest.mark.parametrize("size", [b"LUT_1D_SIZE 2", b"LUT_3D_SIZE 2"])
def test_a_table_of_one_kind_has_no_other(size):
    header, expected = read(size)
    table = header.make_table(np.zeros((*expected.values(), 3)))
    assert (table.curves is None) == (b"3D" in size)
    assert (table.cube is None) == (b"1D" in size)
    assert table.title == ""
