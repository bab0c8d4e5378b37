"""The keywords of a `.cube` file.

What could mean two things is refused: a picture in wrong colors is found out
late, if at all. The specification of Adobe, too, asks for each keyword once
and for none but its own.
"""

import difflib
import math
import re
from typing import Any

import numpy as np

from keras_perceptual.io.color_table import (
    CUBE_SIZES,
    DEFAULT_DOMAIN,
    ColorTable,
)
from keras_perceptual.io.text_rows import (
    BLANKS,
    KEYWORD,
    NUMBER,
    is_keyword,
    row_problem,
    split_words,
)
from keras_perceptual.io.text_source import Source
from keras_perceptual.typing import Domain

# What the specification allows.
SIZE_LIMITS: dict[str, tuple[int, int]] = {
    "LUT_1D_SIZE": (2, 65536),
    "LUT_3D_SIZE": CUBE_SIZES,
}
NUMBERS_OF_KEYWORD = {
    "DOMAIN_MIN": 3,
    "DOMAIN_MAX": 3,
    "LUT_1D_INPUT_RANGE": 2,
    "LUT_3D_INPUT_RANGE": 2,
}
KEYWORDS = ("TITLE", *SIZE_LIMITS, *NUMBERS_OF_KEYWORD)
# What says nothing about colors, wherever it stands.
NOTES = re.compile(
    rb"(?:BMD_TITLE|LUT_TITLE|AUTHOR|COMMENTS?|COPYRIGHT|CREATED|CREATED_BY|"
    rb"CREATION_DATE|CREATOR|DATE|DESCRIPTION|GENERATOR|KEYWORDS|LICENSE|NAME|"
    rb"NOTES?|SOFTWARE|URL)(?:[ \t:=].*)?",
    re.IGNORECASE | re.DOTALL,
)
VIDEO_RANGE_KEYWORDS = ("LUT_IN_VIDEO_RANGE", "LUT_OUT_VIDEO_RANGE")


class Header:
    """The keywords of a file: what they say and where they stand."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.values: dict[str, Any] = {}
        self.places: dict[str, tuple[int, bytes]] = {}

    def read(self, number: int, lines: list[bytes]) -> int:
        """Reads keywords, and returns how many lines come before the rows."""
        for used, line in enumerate(lines):
            # Of blank lines a file may have millions.
            line = line and line.strip(BLANKS)
            if not line:
                continue
            if is_keyword(line):
                if NOTES.fullmatch(line):
                    continue
                self._read_keyword(number + used, line)
            elif not line.startswith(b"#"):
                return used
        return len(lines)

    def start_rows(self, number: int, line: bytes | None) -> dict[str, Any]:
        """Checks the keywords together, and returns how many rows follow.

        Args:
            number: Number of the line that comes after them.
            line: That line, or `None` at the end of the file.

        Returns:
            Arguments of `Rows`, a number of rows for the keyword of each size.
        """
        if not SIZE_LIMITS.keys() & self.values.keys():
            # What is no row in the first place is the greater riddle.
            problem = (line and row_problem(line)) or (
                "A line with LUT_1D_SIZE or LUT_3D_SIZE and the number of "
                "entries should come before. Check that this is a .cube "
                "file, and add the line."
            )
            raise self.source.mistake(number, problem, line)
        self.domains: dict[str, Domain] = {
            size: self._find_domain(size, f"{size[:6]}_INPUT_RANGE")
            for size in SIZE_LIMITS
        }
        rows = {
            keyword: self.values[keyword] ** int(keyword[4])
            for keyword in SIZE_LIMITS
            if keyword in self.values
        }
        return {"expected": rows, "notes": NOTES}

    def make_table(self, rows: np.ndarray) -> ColorTable:
        """Returns the table, given all rows of the file."""
        curves_size = self.values.get("LUT_1D_SIZE", 0)
        cube_size = self.values.get("LUT_3D_SIZE", 0)
        cube = rows[curves_size:].reshape((cube_size,) * 3 + (3,))
        return ColorTable(
            curves=rows[:curves_size] if curves_size else None,
            # Red runs fastest.
            cube=cube.transpose(2, 1, 0, 3) if cube_size else None,
            curves_domain=self.domains["LUT_1D_SIZE"],
            cube_domain=self.domains["LUT_3D_SIZE"],
            title=self.values.get("TITLE", ""),
        )

    def _read_keyword(self, number: int, line: bytes) -> None:
        name, text = KEYWORD.match(line).groups()  # type: ignore[union-attr]
        keyword, text = name.decode("ascii").upper(), text.strip(BLANKS)
        if keyword not in KEYWORDS:
            raise self.source.mistake(number, _unknown_keyword(keyword), line)
        if keyword in self.places:
            problem = (
                f"{keyword} stands in line {self.places[keyword][0]} already, "
                "and may stand in a file once. Take one of the two out."
            )
            raise self.source.mistake(number, problem, line)
        self.places[keyword] = number, line
        if keyword == "TITLE":
            if len(text) > 1 and text[:1] == text[-1:] == b'"':
                text = text[1:-1]
            self.values[keyword] = text.decode("utf-8", "replace")
        elif keyword in SIZE_LIMITS:
            self.values[keyword] = self._read_size(keyword, text)
        else:
            self.values[keyword] = self._read_numbers(keyword, text)

    def _read_size(self, keyword: str, text: bytes) -> int | None:
        low, high = SIZE_LIMITS[keyword]
        digits = re.fullmatch(rb"0*([0-9]{1,9})", text)
        if not digits or not low <= int(digits[1]) <= high:
            raise self._mistake_in(
                keyword,
                f"{keyword} is followed by one whole number from {low} to "
                f"{high}. Sample the table again at such a size.",
            )
        return int(digits[1])

    def _read_numbers(
        self, keyword: str, text: bytes
    ) -> tuple[float, ...] | None:
        count = NUMBERS_OF_KEYWORD[keyword]
        words = split_words(text)
        numbers = [float(word) for word in words if NUMBER.fullmatch(word)]
        # A number that float64 has no place for becomes infinite.
        if not len(words) == len(numbers) == count or np.isinf(numbers).any():
            raise self._mistake_in(
                keyword,
                f"{keyword} is followed by {count} finite numbers with a "
                "decimal point and with spaces between them. Write it as "
                f"`{keyword} {' '.join(['0.5'] * count)}`.",
            )
        return tuple(numbers)

    def _find_domain(self, size: str, range_keyword: str) -> Domain:
        """Returns the domain of one table, given in either of two ways."""
        low = self.values.get("DOMAIN_MIN", DEFAULT_DOMAIN[0])
        high = self.values.get("DOMAIN_MAX", DEFAULT_DOMAIN[1])
        given = [k for k in ("DOMAIN_MIN", "DOMAIN_MAX") if k in self.values]
        if given and SIZE_LIMITS.keys() <= self.values.keys():
            raise self._mistake_in(
                given[-1],
                "This file has curves and a cube, and does not say which of "
                "them this is for. Use LUT_1D_INPUT_RANGE and "
                "LUT_3D_INPUT_RANGE instead.",
            )
        if range_keyword in self.values:
            ends = tuple((end,) * 3 for end in self.values[range_keyword])
            if size not in self.values:
                if ends == DEFAULT_DOMAIN:
                    return DEFAULT_DOMAIN
                raise self._mistake_in(
                    range_keyword,
                    f"This is for a table that the file has no {size} for. "
                    "Take the line out, or give the range of the other table.",
                )
            if given and ends != (low, high):
                raise self._mistake_in(
                    range_keyword,
                    f"{' and '.join(given)} say something else. Take out what "
                    "is wrong.",
                )
            given, (low, high) = [range_keyword], ends
        for start, end in zip(low, high, strict=True):
            if not 0 < end - start < math.inf:
                raise self._mistake_in(
                    given[-1],
                    "The lowest value of a channel has to be below the "
                    f"highest; here they are {start} and {end}. Mend "
                    f"{' or '.join(given)}.",
                )
        return (low, high) if size in self.values else DEFAULT_DOMAIN

    def _mistake_in(self, keyword: str, problem: str) -> ValueError:
        number, line = self.places[keyword]
        return self.source.mistake(number, problem, line)


def _unknown_keyword(keyword: str) -> str:
    """Returns why a keyword is not passed over."""
    if keyword in VIDEO_RANGE_KEYWORDS:
        return (
            "This table is made for colors in video range, 64 to 940 of 1023, "
            "which are not converted here; in full range the contrast would "
            "be wrong. Save the table again in full range (data levels), or "
            "take the line out if your colors are in video range too."
        )
    keyword = keyword[:40]  # Of a word without end, the beginning will do.
    near = difflib.get_close_matches(keyword, KEYWORDS)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return (
        f"{keyword} is not a keyword that is known here, and may change what "
        f"the rows mean. {hint}If it says nothing about colors, take the "
        "line out, or put # before it."
    )
