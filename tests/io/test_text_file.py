import os

import pytest

from keras_perceptual.io import text_file
from keras_perceptual.io.text_file import read_text
from keras_perceptual.io.text_lines import MAX_FILE_SIZE


class Header:
    """One line with a number of rows, and numbers alone in them."""

    def __init__(self, source):
        self.source = source
        self.count = None

    def read(self, number, lines):
        for used, line in enumerate(lines):
            if self.count is not None:
                return used
            if line:
                self.count = int(line)
        return len(lines)

    def start_rows(self, number, line):
        self.started = number, line
        return {"expected": {"the first line": self.count}, "columns": 1}

    def make_table(self, rows):
        return self.started, rows[:, 0].tolist()


@pytest.mark.parametrize("block_size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"3\n1\n2\n3\n", ((2, b"1"), [1, 2, 3])),
        (b"\n\n1\n\n\n7\n", ((4, b""), [7])),
        (b"0", ((1, None), [])),
        (b"0\n", ((2, b""), [])),
    ],
)
def test_rows_follow_what_the_header_read(
    block_size, content, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr("keras_perceptual.io.text_lines.BLOCK_SIZE", block_size)
    path = tmp_path / "numbers.txt"
    path.write_bytes(content)
    assert read_text(path, "txt", Header) == expected


def test_errors_name_the_reader_and_the_file(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_bytes(b"2\n1\n")
    message = "read_txt stopped in line 3 .*numbers.txt.*2 rows .*has 1"
    with pytest.raises(ValueError, match=message):
        read_text(path, "txt", Header)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(text_file, "open", None, raising=False)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        ValueError, match=r"read_txt reads ordinary files.*pipe"
    ):
        read_text(tmp_path / "pipe", "txt", Header)


def test_a_file_that_is_too_large_is_not_opened(tmp_path, monkeypatch):
    path = tmp_path / "look.txt"
    with open(path, "wb") as file:
        file.truncate(MAX_FILE_SIZE + 1)
    monkeypatch.setattr(text_file, "open", None, raising=False)
    message = r"read_txt reads files of up to 1,073,741,824.*look.txt' of 1,073"
    with pytest.raises(ValueError, match=message):
        read_text(path, "txt", Header)
