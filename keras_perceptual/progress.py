"""A progress bar for work that turns out to take long."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar, cast

Item = TypeVar("Item")

PATIENCE = 3.0  # Seconds without a bar.


def track(items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
    """Yields items, with a bar after some seconds of working on them.

    Nothing is shown where Keras is to be quiet, as after
    `keras.config.disable_interactive_logging()`, where the output goes into a
    file, in which each state of a bar would be a line of its own, nor where
    nobody has imported Keras, which would take longer than most of what is
    waited for.

    Args:
        items: An iterable.
        total: Integer, how many items there are to come. Defaults to `None`,
            for items that know.
    """
    keras = sys.modules.get("keras")
    if keras is None or not _is_seen():
        yield from items
        return
    if total is None:
        total = len(cast(Sized, items))
    bar = keras.utils.Progbar(total, unit_name="part")
    begin = time.monotonic()
    is_shown = False
    for done, item in enumerate(items, start=1):
        yield item
        if not is_shown:
            is_long = time.monotonic() - begin > PATIENCE and done < total
            is_shown = is_long and keras.config.is_interactive_logging_enabled()
        if is_shown:
            bar.update(done)


def _is_seen() -> bool:
    """Whether somebody looks on: in a terminal or a notebook."""
    return sys.stdout.isatty() or "ipykernel" in sys.modules
