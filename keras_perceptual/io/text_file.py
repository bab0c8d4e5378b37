"""Reading a color table from a text file: keywords, then rows of numbers."""

import os
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from keras_perceptual.files import check_file
from keras_perceptual.io.color_table import ColorTable
from keras_perceptual.io.text_lines import MAX_FILE_SIZE, read_blocks
from keras_perceptual.io.text_rows import Rows
from keras_perceptual.io.text_source import Source
from keras_perceptual.typing import PathLike


class Header(Protocol):
    """What reads the keywords of a file."""

    def read(self, number: int, lines: list[bytes]) -> int:
        """Returns how many of some lines come before the rows."""

    def start_rows(self, number: int, line: bytes | None) -> dict[str, Any]:
        """Returns the arguments of `Rows`.

        Args:
            number: Number of the first line that is not a keyword.
            line: That line; `None` at the end of the file.
        """

    def make_table(self, rows: np.ndarray) -> ColorTable:
        """Returns the table."""


def read_text(
    path: PathLike | bytes, format: str, make_header: Callable[[Source], Header]
) -> ColorTable:
    """Returns the color table in a text file.

    Args:
        path: String or path-like object, the file.
        format: String, how the names of such files end, such as `"cube"`.
        make_header: Function of a `Source` that returns a `Header`.
    """
    source = Source(os.fsdecode(path), format)
    check_file(source.reader, path, MAX_FILE_SIZE)
    with open(path, "rb") as file:
        header = make_header(source)
        rows: Rows | None = None
        for number, lines in read_blocks(file, source):
            end = number + len(lines) - 1
            if rows is None:
                used = header.read(number, lines)
                number, lines = number + used, lines[used:]
                if lines:
                    rows = Rows(source, **header.start_rows(number, lines[0]))
            if rows is not None:
                rows.read(number, lines)
        if rows is None:
            rows = Rows(source, **header.start_rows(end, None))
        return header.make_table(rows.finish(end))
