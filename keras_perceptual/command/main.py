"""The arguments of the command, and how it ends."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from keras_perceptual._version import __version__
from keras_perceptual.command import compare, doctor, lut

BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Ends the process."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (--help tells more)\n")


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of all arguments.

    Each command adds a function of its arguments as `run`.
    """
    parser = Parser(
        prog="keras-perceptual",
        description="Compares images as people see them, and converts LUTs.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    commands = parser.add_subparsers(
        metavar="COMMAND", required=True, parser_class=Parser
    )
    for module in (compare, lut, doctor):
        module.add_arguments(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: List of strings. Defaults to those of the process.

    Returns:
        The exit status: 0, 1 if `doctor` finds something that does not work,
        or 2 for bad input, which one line on the standard error explains.
    """
    parser = make_parser()
    given = parser.parse_args(arguments)
    try:
        status: int = given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has enough, such as `head`. Python would complain at its
        # end once more.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        text = " ".join(str(error).split())
        sys.stderr.write(f"{parser.prog}: {text}\n")
        return BAD_INPUT
    return status
