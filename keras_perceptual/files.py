"""Which files are opened, of those that a user or a configuration names."""

import os
import stat

from keras_perceptual.typing import PathLike


def check_file(
    owner: str, path: PathLike | bytes, limit: int, *, argument: str = "path"
) -> None:
    """Refuses what is no ordinary file, before anything of it is read.

    Opening a pipe waits for what may never come, and a device has no end. A
    folder is left to `open`, which says so itself.

    Args:
        owner: Name of what asks, for the message.
        path: String or path-like object.
        limit: Integer, the most bytes that the file can need.
        argument: Name of the argument that the path was given as.

    Raises:
        ValueError: If something else is at the path, or the file is larger.
        OSError: If there is nothing, as `FileNotFoundError`.
    """
    try:
        state = os.stat(path)
    except OSError as error:
        # The system repeats a path whole, however long it is.
        raise OSError(error.errno, error.strerror, shorten(path)) from None
    received = f"{argument}={show_path(path)}"
    if stat.S_ISDIR(state.st_mode):
        return
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(
            f"{owner} reads ordinary files, not pipes or devices. Save "
            f"the data in a file first. Received: {received}"
        )
    if state.st_size > limit:
        raise ValueError(
            f"{owner} reads files of up to {limit:,} bytes here, more than "
            "what it needs can fill. Check that this is the file you mean. "
            f"Received: {received} of {state.st_size:,} bytes"
        )


def show_path(path: PathLike | bytes) -> str:
    """Returns a path as it stands in messages: of a long one the end."""
    return repr(shorten(path))


def shorten(path: PathLike | bytes) -> str:
    """Returns a path as text, and of a long one the end."""
    text = os.fsdecode(path)
    return text if len(text) <= 200 else "..." + text[-200:]
