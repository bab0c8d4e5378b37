import pytest

from keras_perceptual.io import text_lines
from keras_perceptual.io.text_lines import read_blocks
from keras_perceptual.io.text_source import Source

SOURCE = Source("look.cube", "cube")


def read(path, content):
    path.write_bytes(content)
    with open(path, "rb") as file:
        return list(read_blocks(file, SOURCE))


def numbered(blocks):
    return [
        (number + offset, line)
        for number, lines in blocks
        for offset, line in enumerate(lines)
    ]


@pytest.mark.parametrize("block_size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last", [b"", b"last"])
def test_lines_are_the_same_in_blocks_of_any_size(
    block_size, end, last, tmp_path, monkeypatch
):
    monkeypatch.setattr(text_lines, "BLOCK_SIZE", block_size)
    lines = [b"first", b"", b"", b"0 0 0", b"", last]
    blocks = read(tmp_path / "look.cube", end.join(lines))
    assert numbered(blocks) == list(enumerate(lines, start=1))


@pytest.mark.parametrize(("size", "blocks"), [(2, 0), (5, 1), (12, 1), (13, 2)])
def test_how_much_is_left_is_known(size, blocks, tmp_path, monkeypatch):
    """After the four bytes that tell what kind of file it is."""
    told = []
    monkeypatch.setattr(text_lines, "BLOCK_SIZE", 8)
    monkeypatch.setattr(
        text_lines, "track", lambda items, count: told.append(count) or items
    )
    read(tmp_path / "look.cube", b"x" * size)
    assert told == [blocks]


def test_ends_of_lines_may_be_mixed(tmp_path):
    blocks = read(tmp_path / "look.cube", b"a\rb\nc\r\nd\r\r\ne\n\rf\r")
    lines = [line for _, line in numbered(blocks)]
    assert lines == [b"a", b"b", b"c", b"d", b"", b"e", b"", b"f", b""]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    blocks = read(tmp_path / "look.cube", b"\xef\xbb\xbfTITLE\n")
    assert numbered(blocks) == [(1, b"TITLE"), (2, b"")]


@pytest.mark.parametrize("block_size", [8, 1000])
@pytest.mark.parametrize(
    "end", [b"\0", b"\x1a", b"\r\n\x1a", b"\n\x1a\0\0", b"\n\0\x1a\r\n"]
)
def test_the_text_may_mark_its_end(end, block_size, tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "BLOCK_SIZE", block_size)
    blocks = read(tmp_path / "look.cube", b"TITLE\n0 0 0\n1 1 1" + end)
    lines = [line for _, line in numbered(blocks) if line]
    assert lines == [b"TITLE", b"0 0 0", b"1 1 1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1 .*It is empty.*Received: the end of the file$"),
        (b"\0\0\x1a", "line 1 .*It is empty"),
        (b"a\n\0\nb\0", "line 2 .*binary file"),
        (b"\x1f\x8b\x08\0", "line 1 .*gzip. Unpack it first"),
        (b"PK\x03\x04abc", "line 1 .*ZIP"),
        (b"\xff\xfeL\0U\0", "line 1 .*UTF-16. Save it as ASCII or UTF-8"),
        (b"\xfe\xff\0L\0U", "line 1 .*UTF-16"),
        (b"a\nb\0c\n", "line 2 .*binary file.*Received: 'b\\\\x00c'$"),
        (
            b"a\n" + b"x" * (2**20 + 1) + b"\nb\n",
            "line 2 .*too long.*'x{60}' ...$",
        ),
        (
            b"a\nb\n" + b"x" * (2**20 + 1),
            "line 3 .*too long: of one line 1048576 bytes",
        ),
        (b"x" * 2**21, "line 1 .*too long"),
    ],
)
def test_what_is_no_text_is_refused(content, message, tmp_path):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        read(tmp_path / "look.cube", content)


@pytest.mark.parametrize(
    "block_size", [65537, 2**20 - 4, 2**20 - 3, 2**20 - 2, 2**18]
)
def test_a_line_may_be_as_long_as_the_limit(block_size, tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "BLOCK_SIZE", block_size)
    blocks = read(tmp_path / "look.cube", b"x" * 2**20 + b"\r\n")
    assert numbered(blocks) == [(1, b"x" * 2**20), (2, b"")]


def test_a_file_without_an_end_of_line_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "look.cube"
    with open(path, "wb") as file:
        file.truncate(text_lines.MAX_FILE_SIZE)
        file.write(b"x" * 2**22)
    with open(path, "rb") as file:
        with pytest.raises(ValueError, match=r"too long|binary"):
            list(read_blocks(file, SOURCE))
        assert file.tell() < 2**21
