"""Files that are there as a whole, or not at all."""

import contextlib
import os
import secrets
import stat
import warnings
from collections.abc import Iterable

from keras_perceptual.files import show_path
from keras_perceptual.typing import PathLike


def replace_file(
    owner: str, path: PathLike | bytes, parts: Iterable[bytes]
) -> None:
    """Writes a file that is there as a whole, or not at all.

    It is written beside its place first, and moved there when it is whole.

    Args:
        owner: Name of what writes, for messages.
        path: String or path-like object, the file.
        parts: Iterable of bytes, what it holds.
    """
    name, shown = os.fsdecode(path), show_path(path)
    # A link stays one, and what it points to is replaced.
    target = os.path.realpath(name)
    former = None
    with contextlib.suppress(FileNotFoundError):
        former = os.stat(target)
    if former is not None and not stat.S_ISREG(former.st_mode):
        raise ValueError(
            f"{owner} writes ordinary files, and something else is in "
            "that place. Choose another path. "
            f"Received: path={shown}"
        )
    unfinished = os.path.join(
        os.path.dirname(target),
        f".{secrets.token_hex(8)}{os.path.splitext(target)[1]}.part",
    )
    try:
        with open(unfinished, "xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if former is not None:
            os.chmod(unfinished, stat.S_IMODE(former.st_mode))
        os.replace(unfinished, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(unfinished)
        raise
    if former is not None and former.st_nlink > 1:
        warnings.warn(
            f"{owner} put a new file in the place of one that has other "
            "names (hard links). They keep the old file. Write to each of "
            "them, or link them anew. "
            f"Received: path={shown} with {former.st_nlink} "
            "names",
            stacklevel=3,
        )
