"""What a file of one format can say, of what a color table holds."""

import numpy as np

from keras_perceptual.io.color_table import (
    DEFAULT_DOMAIN,
    ColorTable,
    check_table,
)
from keras_perceptual.typing import Domain

INSTEAD = "Write a .cube or .csp file"


def take_curves(owner: str, table: ColorTable) -> np.ndarray:
    """Returns the curves of a table that has nothing else."""
    curves = check_table(owner, table).curves
    if curves is None or table.cube is not None:
        raise ValueError(
            f"{owner} writes curves alone, which is what the format holds. "
            f"{INSTEAD}, or take the curves out, as in "
            "`ColorTable(curves=table.curves)`. "
            f"Received: {table!r}"
        )
    return curves


def take_cube(owner: str, table: ColorTable) -> np.ndarray:
    """Returns the cube of a table, over colors from 0 to 1.

    Whether curves before it can be written is left to the format.
    """
    cube = check_table(owner, table).cube
    if cube is None:
        raise ValueError(
            f"{owner} writes a cube, and this table has none. {INSTEAD}, or "
            "sample the table in a cube: `compose_tables(identity, table)` "
            "with a cube that changes nothing. "
            f"Received: {table!r}"
        )
    domains = (table.curves_domain, table.cube_domain)
    if domains != (DEFAULT_DOMAIN, DEFAULT_DOMAIN):
        raise ValueError(
            f"{owner} writes tables over colors from 0 to 1, and the format "
            f"has no place for another domain. {INSTEAD}. Received: {table!r}"
        )
    return cube


def take_only_cube(owner: str, table: ColorTable) -> np.ndarray:
    """Returns the cube of a table that has nothing else."""
    cube = take_cube(owner, table)
    if table.curves is not None:
        raise ValueError(
            f"{owner} writes a cube alone, which is what the format holds. "
            f"{INSTEAD}, or sample both tables in one cube: "
            "`compose_tables(identity, table)` with a cube that changes "
            f"nothing. Received: {table!r}"
        )
    return cube


def one_range(owner: str, domain: Domain) -> tuple[float, float]:
    """Returns the ends of a domain that is the same for all channels."""
    low, high = domain
    if len({*low}) > 1 or len({*high}) > 1:
        raise ValueError(
            f"{owner} writes one domain for all channels, which is what the "
            f"format holds. {INSTEAD}. Received: a domain of {domain}"
        )
    return low[0], high[0]


def to_codes(owner: str, entries: np.ndarray, bits: int) -> np.ndarray:
    """Returns entries from 0 to 1 as whole numbers, with white all ones."""
    white = 2**bits - 1
    codes = np.rint(entries.astype("float64") * white)
    outside = np.count_nonzero((codes < 0) | (codes > white))
    if outside:
        raise ValueError(
            f"{owner} writes whole numbers, 0 for black and {white} for white. "
            f"{INSTEAD}, or clip the entries, as in `ColorTable(cube="
            "table.cube.clip(0, 1))`. "
            f"Received: {outside} entries below 0 or above 1"
        )
    return codes.astype("uint16")


def check_bits(owner: str, bits: int | None, choices: tuple[int, ...]) -> None:
    """Refuses a number of bits that a format does not have."""
    if bits is not None and bits not in choices:
        raise ValueError(
            f"{owner} writes numbers of {', '.join(map(str, choices))} bits. "
            f"Pass one of them. Received: bits={bits!r}"
        )
