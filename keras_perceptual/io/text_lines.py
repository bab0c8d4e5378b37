"""The lines of a text file, in blocks."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from keras_perceptual.io.text_source import Source
from keras_perceptual.progress import track

# Holds the largest cube, 256 ** 3 rows of up to 45 bytes as written here.
MAX_FILE_SIZE = 2**30
# That of `.cube` has 250; some programs write longer comments, and `.3dl` and
# `.csp` have curves in one line.
MAX_LINE_LENGTH = 2**20
BLOCK_SIZE = 2**18

# First bytes of files that are often taken for a table as text.
OTHER_FILES = {
    b"\x1f\x8b": "It is compressed by gzip. Unpack it first.",
    b"PK\x03\x04": "It is a ZIP archive. Unpack it first.",
    b"\xff\xfe": "It is text in UTF-16. Save it as ASCII or UTF-8.",
    b"\xfe\xff": "It is text in UTF-16. Save it as ASCII or UTF-8.",
}
UTF8_MARK = b"\xef\xbb\xbf"


def read_blocks(
    file: BinaryIO, source: Source
) -> Iterator[tuple[int, list[bytes]]]:
    """Yields the lines of a file, many at a time.

    Lines end with a line feed, a carriage return, or both.

    Args:
        file: Binary file, at its beginning.
        source: `Source`, what to call the file in errors.

    Yields:
        Pairs of the number of the first line, counted from one, and a list of
        lines as bytes without their ends.
    """
    size = _text_size(file)
    number, rest = 1, file.read(min(size, len(UTF8_MARK) + 1))
    if not rest:
        problem = "It is empty. Check where it was copied from."
        raise source.mistake(1, problem, None)
    for start, problem in OTHER_FILES.items():
        if rest.startswith(start):
            raise source.mistake(1, problem, rest)
    rest = rest.removeprefix(UTF8_MARK)
    blocks = iter(lambda: file.read(min(BLOCK_SIZE, size - file.tell())), b"")
    for block in track(blocks, -(-(size - file.tell()) // BLOCK_SIZE)):
        block = rest + block
        # A carriage return at the very end may be the first half of an end.
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
        rest = block[end:]
        lines = _split_lines(block[:end])[:-1]
        _check_lines(source, number, [*lines, rest.removesuffix(b"\r")])
        if lines:
            yield number, lines
        number += len(lines)
    lines = _split_lines(rest)
    _check_lines(source, number, lines)
    yield number, lines


def _text_size(file: BinaryIO) -> int:
    """Returns how much of a file comes before the end that its text marks.

    DOS did so by Ctrl-Z, with zeros up to the end of a sector; some programs
    write the NUL at the end of a string in C.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - BLOCK_SIZE))
    tail = file.read(BLOCK_SIZE)
    file.seek(0)
    padding = tail[len(tail.rstrip(b"\0\x1a\r\n")) :]
    return size - len(padding) + len(re.split(rb"[\0\x1a]", padding)[0])


def _split_lines(text: bytes) -> list[bytes]:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def _check_lines(source: Source, number: int, lines: Sequence[bytes]) -> None:
    """Refuses lines that are in no text, or in none of this kind."""
    if max(map(len, lines)) <= MAX_LINE_LENGTH and (
        b"\0" not in b"".join(lines)
    ):
        return
    for offset, line in enumerate(lines):
        if b"\0" in line:
            problem = (
                f"This is a binary file, and a {source.suffix} file is text. "
                "Convert it with the program that it comes from."
            )
        elif len(line) > MAX_LINE_LENGTH:
            problem = (
                f"This line is too long: of one line {MAX_LINE_LENGTH} bytes "
                "are read. Break the line, or check that this is a "
                f"{source.suffix} file."
            )
        else:
            continue
        raise source.mistake(number + offset, problem, line)
