"""`keras-perceptual lut`: using and converting color tables."""

import argparse
import sys
from typing import Any

import numpy as np

from keras_perceptual import io
from keras_perceptual.command import pictures


def add_arguments(commands: Any) -> None:
    """Adds the command to those that the parser knows."""
    parser = commands.add_parser(
        "lut",
        help="apply, convert, invert, compose or show LUTs",
        description="Files go by their suffix, see `keras_perceptual.io`.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    table = "a LUT, such as look.cube or hald.png"
    written = "the LUT to write, such as look.cube"
    size = "entries of its cube along each edge, or of its curves"

    action = actions.add_parser("apply", help="put a LUT on a picture")
    action.add_argument("table", help=table)
    action.add_argument("picture", help="the picture")
    action.add_argument("output", help="the picture to write")
    action.set_defaults(run=apply)

    action = actions.add_parser("convert", help="write in another format")
    action.add_argument("table", help=table)
    action.add_argument("output", help=written)
    action.add_argument("--size", type=int, help=size)
    action.set_defaults(run=convert)

    action = actions.add_parser("invert", help="write the way back")
    action.add_argument("table", help=table)
    action.add_argument("output", help=written)
    action.add_argument("--size", type=int, help=size)
    action.set_defaults(run=invert)

    action = actions.add_parser("compose", help="write two LUTs as one")
    action.add_argument("first", help=table)
    action.add_argument("second", help="the LUT that comes after it")
    action.add_argument("output", help=written)
    action.add_argument("--size", type=int, help=size)
    action.set_defaults(run=compose)

    action = actions.add_parser("show", help="say what is in a LUT")
    action.add_argument("table", help=table)
    action.set_defaults(run=show)


def apply(given: argparse.Namespace) -> int:
    """Runs `apply` with parsed arguments."""
    pictures.check_name(given.output)
    table = io.read_table(given.table)
    pixels = pictures.read_picture(given.picture)
    colors = io.apply_table(table, pixels[..., :3].astype("float32") / 255)
    pixels[..., :3] = np.rint(255 * np.clip(colors, 0, 1))
    pictures.write_picture(given.output, pixels)
    return 0


def convert(given: argparse.Namespace) -> int:
    """Runs `convert` with parsed arguments."""
    table = io.read_table(given.table)
    if given.size is not None:
        name = "curves" if table.cube is None else "cube"
        table = io.resize_table(table, **{name: given.size})
    io.write_table(given.output, table)
    return 0


def invert(given: argparse.Namespace) -> int:
    """Runs `invert` with parsed arguments."""
    table = io.read_table(given.table)
    io.write_table(given.output, io.invert_table(table, size=given.size))
    return 0


def compose(given: argparse.Namespace) -> int:
    """Runs `compose` with parsed arguments."""
    tables = [io.read_table(path) for path in (given.first, given.second)]
    io.write_table(given.output, io.compose_tables(*tables, size=given.size))
    return 0


def show(given: argparse.Namespace) -> int:
    """Runs `show` with parsed arguments."""
    table = io.read_table(given.table)
    sys.stdout.write(describe(table))
    return 0


def describe(table: io.ColorTable) -> str:
    """Returns what is in a table, a line for each fact."""
    lines = [f"title\t{table.title}"] if table.title else []
    for name in ("curves", "cube"):
        entries = getattr(table, name)
        if entries is None:
            continue
        lines.append(f"{name}\t{' x '.join(map(str, entries.shape[:-1]))}")
        low, high = getattr(table, f"{name}_domain")
        lines.append(f"{name} domain\t{_show(low)} to {_show(high)}")
        channels = entries.reshape(-1, 3)
        low, high = channels.min(axis=0), channels.max(axis=0)
        lines.append(f"{name} entries\t{_show(low)} to {_show(high)}")
    return "".join(f"{line}\n" for line in lines)


def _show(colors: Any) -> str:
    return " ".join(f"{number:.6g}" for number in colors)
