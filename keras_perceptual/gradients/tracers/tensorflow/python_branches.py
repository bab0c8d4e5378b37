"""Which lines of Python ran because of what a tensor held.

In a graph, `if` is a condition like any other; a step that runs eagerly only
asks a tensor whether it is true.
"""

import ast
import functools
import linecache
from typing import Any


class PythonBranches:
    """Knows of the lines that tensors decided about."""

    def __init__(self) -> None:
        self._asked: dict[Any, Any] = {}

    def note(self, filename: str, line: Any) -> None:
        """Takes note of a line that asked a tensor whether it is true."""
        self._asked.setdefault(filename, set()).add(line)

    def chose(self, lines: Any) -> bool:
        """Whether one of some lines is in a branch that a tensor chose.

        Args:
            lines: Pairs of the name of a file and the number of a line.
        """
        return any(
            line in ruled
            for filename, line in lines
            if filename in self._asked
            for condition, ruled in _conditions(filename)
            if not condition.isdisjoint(self._asked[filename])
        )


@functools.lru_cache(64)
def _conditions(filename: str) -> Any:
    """Returns the lines of each `if` of a file, and those that it rules."""
    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except (SyntaxError, ValueError):
        return ()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            ruled = [*node.body, *node.orelse]
        elif isinstance(node, ast.IfExp):
            ruled = [node.body, node.orelse]
        else:
            continue
        lines = set().union(*map(_lines, ruled))
        found.append((_lines(node.test), lines))
    return found


def _lines(node: Any) -> Any:
    return set(range(node.lineno, node.end_lineno + 1))
