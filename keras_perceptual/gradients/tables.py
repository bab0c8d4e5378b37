"""A gradient report as text and as HTML."""

from __future__ import annotations

import collections
import html
import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_perceptual.gradients.report import GradientRecord, GradientReport


HEADER = ("variable", "shape", "layer", "status", "norm", "ratio", "")
# How a notebook shows each status that is not well.
COLORS = {
    "missing": "#c62828",
    "nonfinite": "#c62828",
    "untracked": "#c62828",
    "zero": "#b26a00",
    "ignored": "#757575",
}
# How a terminal does: red, yellow and gray.
TERMINAL_COLORS = {
    "missing": "31",
    "nonfinite": "31",
    "untracked": "31",
    "zero": "33",
    "ignored": "90",
}


def title(report: GradientReport) -> str:
    """Returns one line that says how many variables have each status."""
    counts: dict[str, int] = {}
    for record in report:
        counts[record.status] = counts.get(record.status, 0) + 1
    found = ", ".join(f"{n} {status}" for status, n in counts.items())
    batches = f"{report.batches} batch{'' if report.batches == 1 else 'es'}"
    return f"Gradients after {batches}: {found or 'no variables'}"


def names(report: GradientReport) -> list[str]:
    """Returns the path of each variable, numbered where several have it."""
    counts, found = collections.Counter(r.path for r in report), []
    numbers: collections.Counter[str] = collections.Counter()
    for record in report:
        numbers[record.path] += 1
        several = counts[record.path] > 1
        number = f" #{numbers[record.path]}" if several else ""
        found.append(f"{record.path}{number}")
    return found


def remark(record: GradientRecord) -> str:
    """Returns what is the matter with a variable and where, in short."""
    place = str(record.culprit) if record.culprit else record.note
    return ": ".join(filter(None, (record.reason, place)))


def rows(report: GradientReport) -> list[tuple[str, ...]]:
    """Returns the cells of each record, as texts."""
    return [
        (
            name,
            str(record.shape),
            f"{record.layer} ({record.layer_class})" if record.layer else "",
            record.status,
            *(
                "-" if number is None else f"{number:.3g}"
                for number in (record.norm, record.ratio)
            ),
            remark(record),
        )
        for name, record in zip(names(report), report, strict=True)
    ]


def as_text(
    report: GradientReport, width: int | None = None, color: bool | None = None
) -> str:
    """Returns a table.

    Args:
        report: A `GradientReport`.
        width: Integer, how long lines may be: what does not fit of the last
            column goes to lines of its own. Defaults to the width of the
            terminal, and to no limit where there is none.
        color: Whether the status of what is not well is written in color.
            Defaults to whether there is a terminal, unless the environment
            variable `NO_COLOR` is set (see https://no-color.org).
    """
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    if color is None:
        color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    cells = [HEADER, *rows(report)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [title(report)]
    for row in cells:
        padded = [
            cell.ljust(size) for cell, size in zip(row, widths, strict=True)
        ]
        line, note = "  ".join(padded[:-1]), row[-1]
        fits = width is None or len(f"{line}  {note}".rstrip()) <= width
        if color:
            place = HEADER.index("status")
            padded[place] = _colored(padded[place], row[place])
            line = "  ".join(padded[:-1])
        if fits:
            lines.append(f"{line}  {note}".rstrip())
        else:
            lines += [line.rstrip(), f"    {note}"]
    return "\n".join(lines)


def _colored(text: str, status: str) -> str:
    """Returns a text as a terminal shows it in the color of a status."""
    code = TERMINAL_COLORS.get(status)
    return f"\033[{code}m{text}\033[0m" if code else text


def as_html(report: GradientReport) -> str:
    """Returns a table for a notebook."""
    lines = [f"<p>{html.escape(title(report))}</p>", "<table>"]
    heads = "".join(f"<th>{html.escape(cell)}</th>" for cell in HEADER)
    lines.append(f"<tr>{heads}</tr>")
    for record, row in zip(report, rows(report), strict=True):
        color = COLORS.get(record.status)
        style = f' style="color: {color}"' if color else ""
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        lines.append(f"<tr{style}>{cells}</tr>")
    return "\n".join([*lines, "</table>"])
