"""The rows of numbers in a text file.

They are read in blocks, all at once where nothing is wrong with them, and one
by one where something is, to say in which line.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from keras_perceptual.io.decimals import nearest_float32
from keras_perceptual.io.text_source import Source, show

BLANKS = b" \t"
ROW_CHARACTERS = b"0123456789+-.eE" + BLANKS
NUMBER = re.compile(
    rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
)
NOT_FINITE = re.compile(rb"[+-]?(?:nan|inf(?:inity)?)(?!\w)", re.IGNORECASE)
KEYWORD = re.compile(rb"([A-Za-z_][A-Za-z0-9_]*)(.*)", re.DOTALL)


# What the numbers of a row are, by how many they are.
COLUMNS = {
    1: "one number",
    3: "three numbers with spaces between them, red, green and blue",
    6: "six numbers with spaces between them, the place in the cube along "
    "red, green and blue, and the color that is there",
}


class Rows:
    """The rows of a file, as many as its keywords say.

    Args:
        source: `Source`, the file.
        expected: Dictionary, from what says so to a number of rows.
        columns: Integer, how many numbers are in a row.
        check: Optional function of an array of rows. It returns `None`, or
            the index of a row and what is wrong with it.
        footer: Optional compiled expression of the lines that may follow.
        notes: Optional compiled expression of lines to pass over.
        check_count: Optional function of a number of rows, where `expected`
            is the most that there can be. It returns `None`, or what is wrong
            with the number.
    """

    def __init__(
        self,
        source: Source,
        expected: Mapping[str, int],
        columns: int = 3,
        check: Callable[[np.ndarray], tuple[int, str] | None] | None = None,
        footer: re.Pattern[bytes] | None = None,
        notes: re.Pattern[bytes] | None = None,
        check_count: Callable[[int], str | None] | None = None,
    ) -> None:
        self.source = source
        self.expected: int = sum(expected.values())
        self.reason: str = " and ".join(
            f"{rows} for {keyword}" for keyword, rows in expected.items()
        )
        self.columns = columns
        self.check = check
        self.footer = footer
        self.notes = notes
        self.check_count: Callable[[int], str | None] = (
            check_count or self._check_count
        )
        self.end: int | None = None
        self.blocks: list[np.ndarray] = [np.empty((0, columns), "float32")]
        self.count: int = 0

    def read(self, number: int, lines: list[bytes]) -> None:
        """Adds the rows in some lines."""
        if self.footer is not None:
            lines = self._without(self.footer, number, lines)
        rows = _parse_rows(lines, self.columns)
        if rows is None and self.notes is not None:
            # Only now, as matching each line takes longer than reading it.
            lines = [
                b"" if self.notes.fullmatch(line.strip(BLANKS)) else line
                for line in lines
            ]
            rows = _parse_rows(lines, self.columns)
        if rows is None:
            offset, problem = next(
                (offset, problem)
                for offset, line in enumerate(lines)
                if (problem := row_problem(line, self.columns))
            )
            raise self.source.mistake(number + offset, problem, lines[offset])
        left = self.expected - self.count
        if mistake := self.check and self.check(rows[:left]):
            raise self._mistake_in(number, lines, *mistake)
        if len(rows) > left:
            problem = (
                f"The file should have {self.expected} rows ({self.reason}), "
                "and here is one more. Mend the size, or take out the rows "
                "that are too many."
            )
            raise self._mistake_in(number, lines, left, problem)
        self.blocks.append(rows)
        self.count += len(rows)

    def finish(self, number: int) -> np.ndarray:
        """Returns all rows, at the last line of the file."""
        if problem := self.check_count(self.count):
            raise self.source.mistake(number, problem, None)
        return np.concatenate(self.blocks)

    def _check_count(self, count: int) -> str | None:
        if count == self.expected:
            return None
        return (
            f"The file should have {self.expected} rows ({self.reason}) and "
            f"has {count}. Check whether it was cut off, or mend the size."
        )

    def _mistake_in(
        self, number: int, lines: Sequence[bytes], row: int, problem: str
    ) -> ValueError:
        """Returns the error about one row of some lines."""
        offsets = [i for i, line in enumerate(lines) if _has_row(line)]
        offset = offsets[row]
        return self.source.mistake(number + offset, problem, lines[offset])

    def _without(
        self, footer: re.Pattern[bytes], number: int, lines: list[bytes]
    ) -> list[bytes]:
        """Returns lines as they are before the first of the footer."""
        kept = []
        for offset, line in enumerate(lines):
            if footer.fullmatch(line.strip(BLANKS)):
                self.end = self.end or number + offset
                line = b""
            elif self.end and _has_row(line):
                problem = (
                    f"The table ended in line {self.end}, and nothing but "
                    "comments can follow. Take this line out, or move it up."
                )
                raise self.source.mistake(number + offset, problem, line)
            kept.append(line)
        return kept


def _parse_rows(lines: Sequence[bytes], columns: int) -> np.ndarray | None:
    """Returns the rows in some lines, or `None` if any line has a mistake."""
    text = b"\n".join(lines)
    if b"#" in text:
        text = b"\n".join(line for line in lines if _has_row(line))
    # With these characters Python's numbers are those of the specification.
    if text.translate(None, ROW_CHARACTERS + b"\n"):
        return None
    if not _has_columns(text, columns):
        return None
    try:
        # All at once: a list for each line would take longer than the numbers.
        values = nearest_float32(text.split())
    except ValueError:
        return None
    return values.reshape(-1, columns) if np.isfinite(values).all() else None


def _has_columns(text: bytes, columns: int) -> bool:
    """Tells whether each line has so many words, or none."""
    characters = np.frombuffer(b"\n" + text + b"\n", "uint8")
    is_blank = characters <= ord(" ")
    starts = np.flatnonzero(is_blank[:-1] & ~is_blank[1:])
    if len(starts) % columns:
        return False
    ends = np.flatnonzero(characters == ord("\n"))
    # Before each end of a line there have been all words of some rows.
    before = np.searchsorted(starts, ends)
    return bool(np.isin(np.diff(before), (0, columns)).all())


def row_problem(line: bytes, columns: int = 3) -> str | None:
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
    if len(words) != columns:
        return (
            f"A row is {COLUMNS[columns]}, and not {len(words)}. Write one row "
            "in each line."
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


def _has_row(line: bytes) -> bool:
    """Tells whether a line is neither blank nor a comment."""
    line = line.lstrip(BLANKS)
    return bool(line) and not line.startswith(b"#")


def is_keyword(line: bytes) -> bool:
    """Tells whether a line begins with a word that is no number."""
    return bool(KEYWORD.match(line)) and not NOT_FINITE.match(line)


def split_words(text: bytes) -> list[bytes]:
    """Parts words at blanks, and at nothing else that `split()` takes."""
    return [word for word in re.split(rb"[ \t]+", text) if word]
