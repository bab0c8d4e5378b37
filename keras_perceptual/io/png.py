"""PNG files of 16 bits in color, which Pillow neither reads nor writes.

And those of 8 bits, so that writing needs nothing but NumPy. What Pillow reads
exactly is left to it.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Channels of each kind of color that is read here.
CHANNELS = {2: 3, 6: 4}


def encode(pixels: np.ndarray) -> Iterator[bytes]:
    """Yields the bytes of a PNG file.

    Args:
        pixels: Array of shape `(height, width, 3)`, of type uint8 or uint16.
    """
    height, width, _ = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    yield SIGNATURE
    yield _chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    )
    rows = pixels.astype(f">u{pixels.dtype.itemsize}").view("uint8")
    rows = rows.reshape(height, -1)
    # What each row adds to the one above: of ramps, hardly anything.
    differences = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    filtered = np.insert(differences, 0, 2, axis=1)
    yield _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9))
    yield _chunk(b"IEND", b"")


def decode_16(data: bytes) -> np.ndarray | None:
    """Returns the pixels of a file with 16 bits in color, not interlaced.

    Args:
        data: Bytes, a PNG file.

    Returns:
        An array of shape `(height, width, 3 or 4)` and type uint16; `None` for
        a PNG file of another kind.

    Raises:
        ValueError: If the file is none, or not whole. The message is a clause.
    """
    if not data.startswith(SIGNATURE):
        raise ValueError("Not a PNG file. Received: another beginning")
    chunks = list(_chunks(data))
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise ValueError("No header. Received: another first chunk")
    head = struct.unpack(">IIBBBBB", chunks[0][1])
    width, height, bits, kind, *methods = head
    if bits != 16 or kind not in CHANNELS or any(methods):
        return None
    if any(name == b"tRNS" for name, _ in chunks):
        return None  # A color that is transparent.
    channels = CHANNELS[kind]
    stride = 1 + 2 * channels * width
    packed = b"".join(content for name, content in chunks if name == b"IDAT")
    unpacker = zlib.decompressobj()
    # Of a file that unpacks to far more, what is needed is enough.
    content = unpacker.decompress(packed, height * stride + 1)
    if len(content) != height * stride:
        raise ValueError("Another size. Received: rows that do not fit it")
    rows = np.frombuffer(content, "uint8").reshape(height, stride)
    pixels = _unfiltered(
        rows[:, 0], rows[:, 1:].reshape(height, width, 2 * channels)
    )
    return pixels.view(">u2").astype("uint16")


def _unfiltered(filters: np.ndarray, coded: np.ndarray) -> np.ndarray:
    """Returns the bytes of pixels, given each as a difference to a guess.

    The guess depends on the pixels to the left and above. All on one diagonal
    can be found at once, as they have none of each other.
    """
    if filters.max() > 4:
        raise ValueError("Another filter. Received: one above 4")
    height, width, size = coded.shape
    # A margin of zeros above and to the left.
    found = np.zeros((height + 1, width + 1, size), "int16")
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y
        left, above = found[y + 1, x], found[y, x + 1]
        corner = found[y, x]
        guess = left + above - corner
        near_left, near_above, near_corner = (
            abs(guess - other) for other in (left, above, corner)
        )
        paeth = np.where(
            (near_left <= near_above) & (near_left <= near_corner),
            left,
            np.where(near_above <= near_corner, above, corner),
        )
        guesses = np.choose(
            filters[y][:, None],
            [np.zeros_like(left), left, above, (left + above) // 2, paeth],
        )
        found[y + 1, x + 1] = (coded[y, x] + guesses) & 255
    return np.ascontiguousarray(found[1:, 1:].astype("uint8"))


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", check)
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the names and the contents of all chunks."""
    start, name = len(SIGNATURE), b""
    while name != b"IEND":
        head = data[start : start + 8]
        if len(head) < 8:
            raise ValueError("Cut off. Received: no end")
        length, name = struct.unpack(">I4s", head)
        end = start + 8 + length
        content, check = data[start + 8 : end], data[end : end + 4]
        if check != struct.pack(">I", zlib.crc32(name + content)):
            raise ValueError(f"Damaged. Received: a chunk {name!r}")
        yield name, content
        start = end + 4
