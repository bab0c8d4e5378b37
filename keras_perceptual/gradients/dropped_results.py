"""Where the code of the user drops what a line has computed."""

import ast
import dataclasses
import linecache
import re
from collections.abc import Iterator, Sequence
from typing import Any

from keras_perceptual.gradients.places import Place, is_library, locate_frames
from keras_perceptual.gradients.source_lines import parse_lines

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# What metrics are given is for a log.
_LOGGING = frozenset(("update_state", "append_metric"))


def locate_dropping(frames: Sequence[Any]) -> Place | None:
    """Returns where the result of an operation is left out, if it is.

    A name that a line gives to it is followed through the statements behind,
    and what a function returns to the line that calls it.

    Args:
        frames: The Python frames of the last operation that a value enters,
            the innermost last.

    Returns:
        The `Place` of the statement that gives the name to something else, or
        else of the first one that does without it; `None` where the name is
        read, or where there is none.
    """
    own = [i for i, f in enumerate(frames) if not is_library(f.filename)]
    part: int | None = None
    for index in reversed(own):
        frame = frames[index]
        block = _read_on(frame.filename, frame.lineno)
        if not block:
            return None
        statement, *behind = block
        if isinstance(statement, ast.Return):
            part = None
            continue
        names = _names_given(statement, part)
        # Of several, those that nothing reads.
        names = {n for n in names if not _is_read(behind, {n})} or names
        found, part = _find_dropping(statement, names, behind)
        if part is not None and index != own[0]:
            continue
        if part is not None:
            # What a step returns is for a log.
            found = next(s for s in behind if not _is_log(s))
        if found is None:
            return None
        lines = linecache.getlines(frame.filename)
        return dataclasses.replace(
            locate_frames("", frames[: index + 1]),
            operation=f"{' and '.join(map(repr, sorted(names)))} of line "
            f"{frame.lineno} is left out",
            line=found.lineno,
            code=lines[found.lineno - 1].strip(),
        )
    return None


def _find_dropping(
    statement: ast.stmt, names: set[str], behind: Sequence[ast.stmt]
) -> tuple[ast.stmt | None, int | None]:
    """Follows the names that a statement gives through those behind it.

    What reads them computes nothing, and gives them other names.

    Returns:
        The statement that leaves them out, `None` where that is not known, and
        which part of what is returned they are, `None` where they are not.
    """
    shape, left = _shape_of(statement), set(names)
    found: ast.stmt | None = None
    for index, other in enumerate(behind if names else ()):
        if _is_log(other):
            continue
        if isinstance(other, ast.Return) and _reads(other, left):
            return None, _part_of(other, left)
        if _reads(other, left):
            more = _names_given_for(other, left)
            if not more:
                return None, None
            later = behind[index + 1 :]
            kept = {n for n in left if _is_read(later, {n})}
            left, found = kept | more, None
            continue
        left -= _names_given(other)
        if not left:
            return other, None
        # One of several lines of a kind is beside it, unless it goes on with
        # what it reads, as is what prepares another part of something.
        goes_on = _reads(other, _names_given(other))
        is_alike = _shape_of(other) == shape and not goes_on
        if not is_alike and not _prepares(other, behind[index + 1 :]):
            found = found or other
    return found, None


def _read_on(path: str, line: int) -> list[ast.stmt]:
    """Returns the statement on a line and those that run after it.

    There are none where it stands in a loop that it may be read in once more.
    """
    node: Any = parse_lines(linecache.getlines(path))
    found: list[ast.stmt] = []
    while True:
        inner = next(
            (
                block[index:]
                for block in _blocks_of(node)
                for index, child in enumerate(block)
                if child.lineno <= line <= (child.end_lineno or line)
            ),
            None,
        )
        if inner is None:
            return found
        outer = [] if isinstance(node, _FUNCTIONS) else found[1:]
        node, *behind = inner
        if isinstance(node, _LOOPS):
            return []
        found = [node, *behind, *outer]


def _blocks_of(node: Any) -> Iterator[list[Any]]:
    """Yields the lists of statements in a node."""
    parts = [node, *getattr(node, "handlers", ())]
    for part in parts:
        for name in ("body", "orelse", "finalbody"):
            block = getattr(part, name, None)
            if isinstance(block, list):
                yield block


def _names_given(statement: Any, part: int | None = None) -> set[str]:
    """Returns the names that a statement sets, or that of one part."""
    targets = getattr(statement, "targets", None) or [
        getattr(statement, "target", None)
    ]
    found: list[Any] = []
    for target in targets:
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        if isinstance(target, ast.Tuple) and part is not None and part >= 0:
            parts = parts[part : part + 1]
        found += parts
    named = {part.id for part in found if isinstance(part, ast.Name)}
    # What goes somewhere else as well may be read there.
    return named if len(named) == len(found) else set()


def _names_given_for(statement: ast.stmt, names: set[str]) -> set[str]:
    """Returns the names that are set where some names are read.

    It is empty where that is done with something else than names.
    """
    found: set[str] = set()
    for inner in ast.walk(statement):
        if isinstance(inner, ast.Assign | ast.Expr | ast.Return):
            if _reads(inner, names):
                given = _names_given(inner)
                if not given:
                    return set()
                found |= given
    return found


def _prepares(statement: ast.stmt, behind: Sequence[ast.stmt]) -> bool:
    """Whether a later statement puts a new name together with others."""
    given = _names_given(statement)
    return not _reads(statement, given) and any(
        _reads(other, given) and _values_in(other) - given for other in behind
    )


def _values_in(statement: ast.stmt) -> set[str]:
    """Returns the names that are read, but for what is called or looked in."""
    nodes = list(ast.walk(statement))
    others = {id(n.value) for n in nodes if isinstance(n, ast.Attribute)}
    others |= {id(n.func) for n in nodes if isinstance(n, ast.Call)}
    return {
        node.id
        for node in nodes
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and id(node) not in others
    }


def _is_read(statements: Sequence[ast.stmt], names: set[str]) -> bool:
    return any(_reads(s, names) for s in statements if not _is_log(s))


def _reads(statement: ast.AST, names: set[str]) -> bool:
    """Whether a statement has one of some names read."""
    if isinstance(statement, ast.AugAssign):
        if _names_given(statement) & names:
            return True
    return any(
        isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and node.id in names
        for node in ast.walk(statement)
    )


def _is_log(statement: ast.AST) -> bool:
    """Whether a statement is text, or gives something to a metric."""
    if not isinstance(statement, ast.Expr):
        return False
    call = statement.value
    return isinstance(call, ast.Constant) or (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in _LOGGING
    )


def _part_of(statement: ast.Return, names: set[str]) -> int:
    """Returns which part of what is returned has one of some names.

    It is -1 where that is not known.
    """
    parts = getattr(statement.value, "elts", ())
    places = [i for i, part in enumerate(parts) if _reads(part, names)]
    return places[0] if len(places) == 1 else -1


def _shape_of(statement: ast.stmt) -> str:
    """Returns what a statement does, whatever the names in it are."""
    return re.sub(r"'[^']*'", "", ast.dump(statement))
