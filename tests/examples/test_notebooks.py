"""The notebooks are the examples, and run in a kernel."""

import json
import re

import pytest
from public_objects import load_tool

tool = load_tool("make_notebooks")


@pytest.mark.parametrize("name", tool.NOTEBOOKS)
def test_notebook_is_the_example_of_today(name):
    """Else: python tools/make_notebooks.py"""
    path = tool.FOLDER / f"{name}.ipynb"
    kept = json.loads(path.read_text(encoding="utf-8"))
    cells = [(c["cell_type"], "".join(c["source"])) for c in kept["cells"]]
    assert cells == tool.cells_of(name)
    *_, last = (c for c in kept["cells"] if c["cell_type"] == "code")
    assert last["outputs"]
    texts = [
        "".join(output.get("text", ""))
        for cell in kept["cells"]
        for output in cell.get("outputs", [])
    ]
    for unwanted in ("\x08", "Traceback", "/tmp", "ipykernel"):
        assert not any(unwanted in text for text in texts)


@pytest.mark.slow
@pytest.mark.parametrize("name", tool.NOTEBOOKS)
def test_notebook_runs(name, tmp_path):
    pytest.importorskip("nbclient")
    notebook = tool.notebook_of(name)
    arguments = [] if name == "gradient_mistakes" else ["--quick"]
    made = tool.run(notebook, tmp_path, arguments)
    *_, last = (c for c in made.cells if c.cell_type == "code")
    (output,) = tool.tidy(last.outputs)[-1:]
    if tool.NOTEBOOKS[name]:
        assert "image/png" in output["data"]
    else:
        assert re.search(
            r"\(Round\).*, Cell In\[\d\], line \d+", output["text"]
        )


def test_what_a_bar_has_overwritten_is_left_out():
    parts = [
        "1/3 a",
        "\x08\x08\x082/3 b\x08\x083/3 c\ndone\r\x1b[1mend\x1b[0m\n",
    ]
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": parts[0]},
        {"output_type": "stream", "name": "stderr", "text": "A warning.\n"},
        {"output_type": "stream", "name": "stdout", "text": parts[1]},
    ]
    (output,) = tool.tidy(outputs)
    assert output["text"] == "3/3 c\nend\n"
