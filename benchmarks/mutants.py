"""Which small faults in the package does its own test file find?

    python benchmarks/mutants.py --count 150 --seed 0

plants one fault after the other (a condition negated, a comparison turned, a
statement deleted, a number or an operator changed) at places drawn from `ops`,
`losses`, `layers`, `gradients`, `io` and `features`, runs the test file that
mirrors the source file, and prints what survives, with its share. A survivor
is either a test that is missing or a fault that changes nothing that anybody
can see: `--show 17` prints the seventeenth as a diff, to judge it by eye.
`--only 4,17,33` runs these again, once there are tests. A sample goes by the
text of the lines and not by their numbers, so that it stays about the same.

Left out is what changes nothing in any program, or other tools find: types;
`frozen`, `kw_only`, `strict`, which keep developers from mistakes; `None` in
the place of `False` or of something empty that is returned, which type checkers
find; and what stands inside f-strings, whose places Python 3.11 does not know.

Works on a copy. A run takes as long as the test files do, each time from the
start, so `--jobs 2` and some patience are a good idea. Tests that are skipped
find nothing: it is as good as what is installed.
"""

import argparse
import ast
import collections
import concurrent.futures
import copy
import dataclasses
import difflib
import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("ops", "losses", "layers", "gradients", "io", "features")
# What test files read.
COPIED = (
    *("benchmarks", "docs", "examples", "keras_perceptual", "tests", "tools"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "README.md", "mkdocs.yml"),
    *("pyproject.toml", "setup.cfg"),
)
# The same functions once for each backend have one test file for all three.
BACKEND_FOLDER = re.compile(r"tracers/(tensorflow|jax|torch)/")
# A fault that makes a test wait for ever is found, too.
SECONDS = 600

COMPARISONS = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A fault in one place.

    Attributes:
        path: The source file, from the root of the package.
        line: Its line.
        kind: What was done there.
        text: The text of the whole file with the fault.
    """

    path: pathlib.Path
    line: int
    kind: str
    text: str

    @property
    def name(self):
        return f"{self.path}:{self.line} {self.kind}"

    @property
    def test_file(self):
        """The test file that mirrors the source file."""
        path = BACKEND_FOLDER.sub("tracers/", self.path.as_posix())
        folder, _, name = path.rpartition("/")
        return pathlib.Path("tests", folder, f"test_{name}")

    @property
    def backend(self):
        """The backend to run it on."""
        found = BACKEND_FOLDER.search(self.path.as_posix())
        return found[1] if found else "tensorflow"

    def diff(self):
        """Returns the fault as the lines of a diff."""
        before = (ROOT / "keras_perceptual" / self.path).read_text()
        return "\n".join(
            difflib.unified_diff(
                before.splitlines(),
                self.text.splitlines(),
                str(self.path),
                self.kind,
                lineterm="",
                n=2,
            )
        )


def changed(node):
    """Returns pairs of what is done to a node and the node after it."""
    other = copy.deepcopy(node)
    match node:
        case ast.If() | ast.IfExp() | ast.While():
            # Only the condition is rewritten, see `mutants_of`.
            return [("condition negated", ast.UnaryOp(ast.Not(), node.test))]
        case ast.Compare(ops=[operator]) if type(operator) in COMPARISONS:
            other.ops = [COMPARISONS[type(operator)]()]
            return [("comparison turned", other)]
        case ast.BinOp() if type(node.op) in OPERATORS:
            other.op = OPERATORS[type(node.op)]()
            return [("operator changed", other)]
        case ast.BoolOp():
            other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            return [("and/or changed", other)]
        case ast.Constant(value=bool()):
            return [("constant turned", ast.Constant(not node.value))]
        case ast.Constant(value=int() | float()):
            return [("number changed", ast.Constant(node.value + 1))]
        case ast.Expr(value=ast.Call()):
            return [("statement deleted", ast.Pass())]
        case ast.Return() if not is_empty(node.value):
            return [("returns None", ast.Return(ast.Constant(None)))]
    return []


def is_empty(value):
    """Whether a value that is returned is nothing, `False` or empty."""
    match value:
        case None | ast.Constant(value=None | False | ""):
            return True
        case ast.Tuple(elts=[]) | ast.List(elts=[]) | ast.Dict(keys=[]):
            return True
    return False


def is_left_alone(node):
    """Whether no fault is planted inside of a node."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return True
        # Python 3.11 does not know where in the file its parts stand.
        case ast.JoinedStr():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.keyword(arg="frozen" | "kw_only" | "strict"):
            return True
    return False


def nodes_of(tree):
    """Yields all nodes that a fault can be planted in, but types."""
    if is_left_alone(tree):
        return
    yield tree
    for name, field in ast.iter_fields(tree):
        if name in ("annotation", "returns", "type_params"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST):
                yield from nodes_of(child)


def mutants_of(path):
    """Yields all faults that can be planted in a file."""
    source = (ROOT / "keras_perceptual" / path).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in nodes_of(ast.parse(source)):
        for kind, new in changed(node):
            old = node.test if kind == "condition negated" else node
            start = starts[old.lineno - 1] + old.col_offset
            end = starts[old.end_lineno - 1] + old.end_col_offset
            text = ast.unparse(new)
            if isinstance(new, ast.expr):
                text = f"({text})"
            text = source[:start] + text.encode() + source[end:]
            yield Mutant(path, old.lineno, kind, text.decode())


def rank(*parts):
    """Returns a number that looks drawn, the same for the same parts."""
    text = "\n".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def draw(count, seed):
    """Returns as many faults, at most one a line.

    A line is drawn by its text, wherever it stands in its file: while other
    lines change, the sample does not.
    """
    package = ROOT / "keras_perceptual"
    found = []
    for folder in FOLDERS:
        for path in sorted((package / folder).rglob("*.py")):
            if path.name != "__init__.py":
                found += drawn_lines(path.relative_to(package), seed)
    found.sort(key=lambda pair: pair[0])
    return [mutant for _, mutant in found[:count]]


def drawn_lines(path, seed):
    """Returns a rank and a fault for each line of a file that can have one."""
    lines = (ROOT / "keras_perceptual" / path).read_text().splitlines()
    of_line = {}
    for mutant in mutants_of(path):
        of_line.setdefault(mutant.line, []).append(mutant)
    drawn, seen = [], collections.Counter()
    for line, mutants in sorted(of_line.items()):
        text = lines[line - 1].strip()
        place = (seed, path, text, seen[text])
        seen[text] += 1
        chosen = mutants[rank("fault", *place) % len(mutants)]
        drawn.append((rank("place", *place), chosen))
    return drawn


def is_found(mutant):
    """Whether the test file of a fault fails with it, and with it alone."""
    if passes(mutant.test_file, mutant.backend, mutant):
        return False
    if not passes(mutant.test_file, mutant.backend):
        raise RuntimeError(
            f"{mutant.test_file} finds no fault: it fails without one. Run it "
            f"with --all. Received: KERAS_BACKEND={mutant.backend}"
        )
    return True


@functools.cache
def passes(test_file, backend, mutant=None):
    """Whether a test file passes, with a fault or without one."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in COPIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, folder / name)
        if mutant is not None:
            (folder / "keras_perceptual" / mutant.path).write_text(mutant.text)
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "KERAS_BACKEND": backend,
        }
        command = [
            sys.executable, "-m", "pytest", "-x", "-q", "-n0", "--all",
            "-p", "no:cacheprovider", str(test_file),
        ]  # fmt: skip
        try:
            result = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return False
    if result.returncode not in (0, 1, 2):
        raise RuntimeError(
            f"{test_file} cannot be run. Received: "
            f"{result.stdout.decode()[-2000:]}{result.stderr.decode()[-500:]}"
        )
    return result.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--show", type=int, help="print this one, run none")
    parser.add_argument("--only", help="run these, such as 4,17,33")
    options = parser.parse_args()
    mutants = draw(options.count, options.seed)
    if options.show is not None:
        print(mutants[options.show].diff())
        return
    chosen = range(len(mutants))
    if options.only is not None:
        chosen = [int(number) for number in options.only.split(",")]
    count = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(is_found, (mutants[index] for index in chosen))
        for index, found in zip(chosen, results, strict=True):
            count += found
            state = "found" if found else "SURVIVES"
            print(f"{index:4d} {state:8} {mutants[index].name}", flush=True)
    print(f"found {count} of {len(chosen)} ({count / len(chosen):.0%})")


if __name__ == "__main__":
    main()
