"""Makes the notebooks in examples/notebooks out of the examples.

    pip install -e ".[examples,notebooks]"
    python tools/make_notebooks.py

The text of an example becomes text, and its code cells; what runs it stands in
a cell of its own. The notebooks are run in a kernel from top to bottom and keep
what they print and draw. `tests/examples/test_notebooks.py` fails where an
example has changed since then.
"""

import json
import pathlib
import re
import tempfile

import docs_pages

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples" / "notebooks"
# The example, and the picture that it writes.
NOTEBOOKS = {
    "super_resolution": "outputs/super_resolution.png",
    "learn_color_grade": "outputs/learn_color_grade.png",
    "gradient_mistakes": None,
}
INSTALL = """\
# From a clone of the project. Elsewhere, such as on Colab, upload the wheel and
# write its name in place of the path: "keras_perceptual-….whl[examples]".
%pip install -q -e "../..[examples]"\
"""
RUN = re.compile(r'\n*if __name__ == "__main__":\n    main\(\)\s*$')
CONTROL = re.compile(r"\x1b\[[0-9;]*m")


def cells_of(name):
    """Returns the cells of a notebook, as pairs of a kind and a text.

    Args:
        name: The name of an example, without a suffix.
    """
    source = RUN.sub("\n", (ROOT / f"examples/{name}.py").read_text("utf-8"))
    (_, first), *cells = docs_pages.example_cells(source)
    title, *texts = docs_pages.example_header(first)
    found = [
        ("markdown", "\n\n".join(filter(None, [f"# {title}", *texts]))),
        ("code", INSTALL),
        *cells,
    ]
    if "argparse" in source:
        found.append(
            ("code", f'import sys\n\nsys.argv = ["{name}.py"]\nmain()')
        )
    else:
        found.append(("code", "main()"))
    if NOTEBOOKS[name]:
        show = (
            f'from IPython.display import Image\n\nImage("{NOTEBOOKS[name]}")'
        )
        found.append(("code", show))
    return found


def notebook_of(name):
    """Returns a notebook that has not been run, as JSON has it."""
    cells = []
    for index, (kind, text) in enumerate(cells_of(name)):
        cell = {
            "cell_type": kind,
            "id": f"cell-{index}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append(cell)
    kernel = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def run(notebook, folder, arguments=()):
    """Returns a notebook as it is after it was run, but for the first cell.

    That one installs the package, which is there.

    Args:
        notebook: As of `notebook_of`.
        folder: The folder to run it in.
        arguments: Strings for the command line that the example reads.
    """
    import nbclient
    import nbformat

    made = nbformat.from_dict(json.loads(json.dumps(notebook)))
    for cell in made.cells:
        cell.source = "".join(cell.source)
    install = next(c for c in made.cells if c.cell_type == "code")
    sources = [cell.source for cell in made.cells]
    install.source = "pass"
    for cell in made.cells:
        if cell.source.startswith("import sys\n\nsys.argv"):
            cell.source = cell.source.replace(
                "\nmain()", f"\nsys.argv += {list(arguments)}\nmain()"
            )
    nbclient.NotebookClient(
        made, timeout=3600, resources={"metadata": {"path": str(folder)}}
    ).execute()
    for cell, source in zip(made.cells, sources, strict=True):
        cell.source = source
    return made


def tidy(outputs):
    """Returns the outputs of a cell as they look when it has run.

    What is printed one after the other is one text, without what a progress bar
    has overwritten and without warnings of the machine on the standard error.
    """
    found = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if (
            output["output_type"] == "stream"
            and found[-1:]
            and (found[-1]["output_type"] == "stream")
        ):
            found[-1]["text"] += output["text"]
        else:
            found.append(dict(output))
    for output in found:
        if output["output_type"] == "stream":
            lines = CONTROL.sub("", output["text"]).split("\n")
            output["text"] = "\n".join(
                re.split(r"\r|\x08+", line)[-1].rstrip() for line in lines
            )
    return found


def main():
    """Writes the notebooks."""
    FOLDER.mkdir(exist_ok=True)
    for name in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            made = run(notebook_of(name), folder)
        notebook = notebook_of(name)
        count = 0
        for cell, ran in zip(notebook["cells"], made.cells, strict=True):
            if cell["cell_type"] == "code":
                count += 1
                cell["execution_count"] = count
                cell["outputs"] = tidy(ran.outputs)
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        (FOLDER / f"{name}.ipynb").write_text(text, encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
