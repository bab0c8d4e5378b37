"""The rows of numbers in a `.cube` file.

They are read in blocks, all at once where nothing is wrong with them, and one
by one where something is, to say in which line.
"""

import itertools
import re

import numpy as np

from keras_perceptual.io.cube_lines import line_mistake, show
from keras_perceptual.io.decimals import nearest_float32

BLANKS = b" \t"
ROW_CHARACTERS = b"0123456789+-.eE" + BLANKS
NUMBER = re.compile(
    rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
)
NOT_FINITE = re.compile(rb"[+-]?(?:nan|inf(?:inity)?)(?!\w)", re.IGNORECASE)
KEYWORD = re.compile(rb"([A-Za-z_][A-Za-z0-9_]*)(.*)", re.DOTALL)


class Rows:
    """The rows of a file, as many as its keywords say."""

    def __init__(self, name, expected):
        self.name = name
        self.expected = sum(expected.values())
        self.reason = " and ".join(
            f"{rows} for {keyword}" for keyword, rows in expected.items()
        )
        self.blocks = [np.empty((0, 3), "float32")]
        self.count = 0

    def read(self, number, lines):
        """Adds the rows in some lines."""
        rows = _parse_rows(lines)
        if rows is None:
            offset, problem = next(
                (offset, problem)
                for offset, line in enumerate(lines)
                if (problem := row_problem(line))
            )
            raise line_mistake(
                self.name, number + offset, problem, lines[offset]
            )
        if self.count + len(rows) > self.expected:
            offsets = [i for i, line in enumerate(lines) if _has_row(line)]
            offset = offsets[self.expected - self.count]
            problem = (
                f"The file should have {self.expected} rows ({self.reason}), "
                "and here is one more. Mend the size, or take out the rows "
                "that are too many."
            )
            raise line_mistake(
                self.name, number + offset, problem, lines[offset]
            )
        self.blocks.append(rows)
        self.count += len(rows)

    def finish(self, number):
        """Returns all rows, at the last line of the file."""
        if self.count < self.expected:
            problem = (
                f"The file should have {self.expected} rows ({self.reason}) "
                f"and has {self.count}. Check whether it was cut off, or mend "
                "the size."
            )
            raise line_mistake(self.name, number, problem, None)
        return np.concatenate(self.blocks)


def _parse_rows(lines):
    """Returns the rows in some lines, or `None` if any line has a mistake."""
    text = b"".join(lines)
    if b"#" in text:
        lines = [line for line in lines if _has_row(line)]
        text = b"".join(lines)
    # With these characters Python's numbers are those of the specification.
    if text.translate(None, ROW_CHARACTERS):
        return None
    rows = [line.split() for line in lines]
    if not {0, 3}.issuperset(map(len, rows)):
        return None
    try:
        values = nearest_float32(list(itertools.chain.from_iterable(rows)))
    except ValueError:
        return None
    return values.reshape(-1, 3) if np.isfinite(values).all() else None


def row_problem(line):
    """Returns what keeps a line from being a row, a comment or blank."""
    line = line.strip(BLANKS)
    if not _has_row(line):
        return None
    if is_keyword(line):
        return "Keywords come before the first row. Move this line up there."
    if b"," in line or b";" in line:
        return (
            "Numbers have a decimal point, and spaces between them. Write "
            "`0.5 0.25 1` where it says `0,5 0,25 1` or `0.5, 0.25, 1`."
        )
    if b"#" in line:
        return "A comment has a line of its own. Move it to another line."
    words = split_words(line)
    if len(words) != 3:
        return (
            "A row is three numbers with spaces between them, red, green and "
            f"blue, and not {len(words)}. Write one row in each line."
        )
    for word in words:
        if NOT_FINITE.match(word) or (
            NUMBER.fullmatch(word) and not np.isfinite(nearest_float32([word]))
        ):
            return (
                f"{show(word)} is not finite in float32. Put a number there, "
                "from -3.4e38 to 3.4e38."
            )
        if not NUMBER.fullmatch(word):
            return (
                f"{show(word)} is no decimal number. Write it with digits and "
                "a decimal point, as in 0.5 or 5e-1."
            )
    return None


def _has_row(line):
    """Tells whether a line is neither blank nor a comment."""
    line = line.lstrip(BLANKS)
    return line and not line.startswith(b"#")


def is_keyword(line):
    """Tells whether a line begins with a word that is no number."""
    return KEYWORD.match(line) and not NOT_FINITE.match(line)


def split_words(text):
    """Parts words at blanks, and at nothing else that `split()` takes."""
    return [word for word in re.split(rb"[ \t]+", text) if word]
