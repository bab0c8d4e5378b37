"""Reading a colour table from a text file: keywords, then rows of numbers."""

import os

from keras_perceptual.files import check_file
from keras_perceptual.io.text_lines import MAX_FILE_SIZE, read_blocks
from keras_perceptual.io.text_rows import Rows
from keras_perceptual.io.text_source import Source


def read_text(path, format, make_header):
    """Returns the colour table in a text file.

    Args:
        path: String or path-like object, the file.
        format: String, how the names of such files end, such as `"cube"`.
        make_header: Function of a `Source` that returns what reads the
            keywords, an object with three methods. `read(number, lines)`
            returns how many of some lines come before the rows,
            `start_rows(number, line)` is told the line after them, `None` at
            the end of the file, and returns the arguments of `Rows`, and
            `make_table(rows)` returns the table.
    """
    source = Source(os.fsdecode(path), format)
    check_file(source.reader, path, MAX_FILE_SIZE)
    with open(path, "rb") as file:
        header, rows = make_header(source), None
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
