"""Trains everything in every precision, in several environments.

Runs `tests/contract/test_support.py` with the given interpreters, each with
this package and its test extra installed, and prints the table of
`docs/where_it_runs.md` of what came out: a way of compiling stands in a cell if
all tests of it passed.

    python tools/support_matrix.py .venv/bin/python oldest/bin/python
    python tools/support_matrix.py .venv/bin/python --backend jax --write

With `--write` the rows go into that page, in the place of those of the same
versions.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import tempfile
import xml.etree.ElementTree

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "where_it_runs.md"
BEGIN, END = "<!-- support matrix -->", "<!-- end of support matrix -->"
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16", "float64")
# What is run: settings of the environment and arguments of pytest.
RUNS = {
    "tensorflow": [({}, [])],
    "jax": [({}, []), ({"JAX_ENABLE_X64": "1"}, ["-k", "float64"])],
    "torch": [({}, [])],
}
NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
VERSIONS = """
import importlib.metadata, json, os, platform
backend = os.environ["KERAS_BACKEND"]
print(json.dumps([
    platform.python_version(),
    importlib.metadata.version("keras"),
    importlib.metadata.version(backend).split("+")[0],
]))
"""


def run(python, backend):
    """Runs the tests in one environment.

    Args:
        python: Path of an interpreter.
        backend: String, one of `NAMES`.

    Returns:
        The row of the table, a list of strings.
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(REPOSITORY),
    }
    versions = subprocess.run(
        [python, "-c", VERSIONS],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    release, keras, library = json.loads(versions.stdout)
    cells = {}
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        for settings, arguments in RUNS[backend]:
            subprocess.run(
                [
                    python,
                    "-m",
                    "pytest",
                    "tests/contract/test_support.py",
                    "--all",
                    "--all-cells",
                    f"--junitxml={report}",
                    *arguments,
                ],
                env=environment | settings,
                cwd=REPOSITORY,
            )
            cells |= read_report(xml.etree.ElementTree.parse(report))
    label = f"{NAMES[backend]} {library}"
    return [release, keras, label, *(format_cell(cells, p) for p in POLICIES)]


def read_report(report):
    """Returns what became of each test, by its precision and its way.

    Args:
        report: An element tree in JUnit's format.

    Returns:
        A dictionary from pairs of strings to lists of booleans.
    """
    cells = {}
    for case in report.iter("testcase"):
        label = re.search(r"\[(.*)\]", case.get("name"))[1]
        policy, way = label.split("-")[-2:]
        passed = not len(case)
        cells.setdefault((policy, way), []).append(passed)
    return cells


def format_cell(cells, policy):
    """Returns the ways in which a precision was trained."""
    ways = [
        way if all(passed) else f"~~{way}~~"
        for (its_policy, way), passed in cells.items()
        if its_policy == policy
    ]
    return ", ".join(ways) or "\u2013"


def format_table(rows):
    """Returns rows as a table in Markdown."""
    head = ["Python", "Keras", "backend", *(f"`{p}`" for p in POLICIES)]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def merge(text, rows):
    """Returns a text whose table has the rows, new ones behind the others."""
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    lines = table.strip().splitlines()[2:]
    known = [[c.strip() for c in x.strip("|").split("|")] for x in lines]
    merged = {tuple(row[:3]): row for row in [*known, *rows]}
    return f"{before}{BEGIN}\n{format_table(merged.values())}\n{END}{after}"


def main():
    """Runs the tests and prints or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="+", metavar="python")
    parser.add_argument("--backend", default="tensorflow", choices=NAMES)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = [run(python, options.backend) for python in options.pythons]
    print(format_table(rows))
    if options.write:
        text = merge(PAGE.read_text(encoding="utf-8"), rows)
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
