"""House rules that no linter knows, checked on the syntax tree."""

import ast
import os
import pathlib
import re

import pytest
from public_objects import NOT_SOURCE, PACKAGE, REPOSITORY

SOURCES = sorted(PACKAGE.rglob("*.py"))
ERRORS = {"ValueError", "TypeError", "GradientSanityError"}
BACKENDS = {"tensorflow", "jax", "torch"}

# Source files that have no test file of their own, and why.
WITHOUT_TEST_FILE = {
    "_version.py": "one line; read by test_public_api.py",
    "__main__.py": "one call; run by command/test_main.py",
}
# The same functions once for each backend: one test file for all three.
TRACERS = re.compile(r"^(gradients/tracers)/(tensorflow|jax|torch)/")
OVERRIDES = re.compile(r"^(_backend)/(tensorflow|jax|torch)(_\w+)?\.py$")

# They take a file format from a backend, and compute nothing with it.
FILE_FORMATS = {"event_file.py": {"tensorflow"}}

TEXT_SUFFIXES = {
    "", ".py", ".md", ".cfg", ".toml", ".txt", ".json", ".yml", ".yaml",
    ".sh", ".csv", ".cube", ".typed", ".ipynb",
}  # fmt: skip
# Not preceded by what makes them part of a longer path or of a variable.
MACHINE_PATHS = re.compile(r"(?<![\w.~}-])/(?:work|tmp|home|root|Users)/")


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


def strings(node):
    """Returns all literal text inside a node."""
    return "".join(
        inner.value
        for inner in ast.walk(node)
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
    )


def called_name(node):
    """Returns the last part of the name of what is called."""
    function = node.func if isinstance(node, ast.Call) else node
    return getattr(function, "attr", getattr(function, "id", None))


def says_received(call, function):
    """Whether a message, or a local name in it, has the "Received:" part."""
    if "Received:" in strings(call):
        return True
    names = {n.id for n in ast.walk(call) if isinstance(n, ast.Name)}
    if isinstance(function, ast.FunctionDef):
        arguments = function.args.args + function.args.kwonlyargs
        if "received" in names & {argument.arg for argument in arguments}:
            return True  # The callers are looked at in their turn.
    return any(
        "Received:" in strings(node.value)
        for node in ast.walk(function)
        if isinstance(node, (ast.Assign, ast.AugAssign))
        for target in getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(target, ast.Name) and target.id in names
    )


def silent_raises(tree):
    """Yields the lines that raise an error without telling what came in."""
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and called_name(node.exc) in ERRORS:
            message = node.exc
        elif isinstance(node, ast.keyword) and node.arg == "received":
            message = node.value  # Handed on to a helper that raises.
        else:
            continue
        around = [
            f for f in functions if f.lineno <= node.lineno <= f.end_lineno
        ]
        inside = max(around, key=lambda f: f.lineno, default=tree)
        if not says_received(message, inside):
            yield node.lineno


def imported_modules(tree):
    """Yields every module that is imported, as written, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def private_keras(tree):
    """Yields the lines that reach into the private part of Keras."""
    for name, line in imported_modules(tree):
        if name.startswith("keras.src"):
            yield line
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr == "src"
            and getattr(node.value, "id", None) == "keras"
        ):
            yield node.lineno
        if isinstance(node, ast.Constant) and str(node.value).startswith(
            "keras.src"
        ):
            yield node.lineno


def syntax_tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def asserted(tree):
    """Yields the lines of assert statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno


def printed(tree):
    """Yields the lines that print."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called_name(node) == "print":
            yield node.lineno


# One test a rule rather than one a file: a failure lists all places.
@pytest.mark.parametrize(
    "rule", [silent_raises, private_keras, asserted, printed]
)
def test_no_source_file_breaks_the_rule(rule):
    found = [
        f"{relative(path)}:{line}"
        for path in SOURCES
        for line in rule(syntax_tree(path))
    ]
    assert found == []


def test_backends_are_imported_in_their_own_folder_only():
    found = []
    for path in SOURCES:
        place = relative(path)
        own = TRACERS.match(place) or OVERRIDES.match(place)
        allowed = {own[2]} if own else FILE_FORMATS.get(path.name, set())
        for name, line in imported_modules(syntax_tree(path)):
            if name.split(".")[0] in BACKENDS - allowed:
                found.append(f"{place}:{line}")
    assert found == []


def test_every_source_file_has_a_test_file():
    missing = []
    for path in SOURCES:
        if path.name == "__init__.py" or relative(path) in WITHOUT_TEST_FILE:
            continue
        folder, _, name = TRACERS.sub(r"\1/", relative(path)).rpartition("/")
        test_file = REPOSITORY / "tests" / folder / f"test_{name}"
        if not test_file.is_file():
            missing.append(test_file.relative_to(REPOSITORY).as_posix())
    assert missing == []


def test_exceptions_from_the_mirror_exist():
    for name in WITHOUT_TEST_FILE:
        assert (PACKAGE / name).is_file()


def repository_texts():
    # To walk through a virtual environment would take seconds.
    for folder, folders, names in os.walk(REPOSITORY):
        folders[:] = [
            name
            for name in sorted(folders)
            if name not in NOT_SOURCE and not name.endswith(".egg-info")
        ]
        for path in (pathlib.Path(folder, name) for name in sorted(names)):
            if path.is_file() and path.suffix in TEXT_SUFFIXES:
                yield path


def test_no_file_speaks_of_one_machine():
    texts = list(repository_texts())
    assert len(texts) > len(SOURCES)
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for path in texts
        for number, line in enumerate(
            path.read_text(encoding="utf-8").splitlines(), start=1
        )
        if MACHINE_PATHS.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "check, code, expected",
    [
        (silent_raises, "raise ValueError('No.')", [1]),
        (silent_raises, "raise ValueError", [1]),
        (silent_raises, "raise TypeError(f'No. Received: {x}')", []),
        (
            silent_raises,
            "def f(x):\n r = f'Received: {x}'\n raise ValueError(f'No. {r}')",
            [],
        ),
        (
            silent_raises,
            "def f(x):\n r = f'Received: {x}'\n"
            "def g(r):\n raise ValueError(f'No. {r}')",
            [4],
        ),
        (
            silent_raises,
            "def check(received):\n raise ValueError(f'No. {received}')\n"
            "check(received=f'Received: {x}')\ncheck(received='nothing')",
            [4],
        ),
        (private_keras, "from keras.src import backend", [1]),
        (private_keras, "import keras\nkeras.src.ops", [2]),
        (private_keras, "import_module('keras.src.ops')", [1]),
        (private_keras, "from keras import ops", []),
        (asserted, "assert x", [1]),
        (printed, "print(x)", [1]),
    ],
)
def test_the_checks_can_fail(check, code, expected):
    assert list(check(ast.parse(code))) == expected


@pytest.mark.parametrize("folder", ["work", "tmp", "home", "root", "Users"])
def test_the_search_for_machine_paths_can_fail(folder):
    assert MACHINE_PATHS.search(f"open('/{folder}/file')")
    assert not MACHINE_PATHS.search(f"frame{folder}/file")
