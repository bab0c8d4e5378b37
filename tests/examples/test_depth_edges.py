import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "depth_edges.py"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("depth_edges")
    finished = subprocess.run(
        [sys.executable, EXAMPLE, "--quick", "--output", "out.png"],
        cwd=folder,
        env=dict(os.environ, MPLBACKEND="agg"),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder, finished.stdout


def errors(printed, name):
    """Returns a row of the table."""
    (line,) = (x for x in printed.splitlines() if x.startswith(name + "  "))
    return [float(number) for number in line[len(name) :].split()]


def test_the_table_says_what_was_gained(short_run):
    _, printed = short_run
    # What is printed of the measurement does not depend on the training.
    np.testing.assert_allclose(
        errors(printed, "measured"), [12.06, 1.3, 4.94, 0.31, 1.14], rtol=0.02
    )
    for name in ("pixel loss", "pixels and edges"):
        found = errors(printed, name)
        assert len(found) == 5 and np.all(np.isfinite(found))
    # Forty steps begin to sharpen nothing, and spoil nothing either.
    assert errors(printed, "pixels and edges")[1] < 1.6


def test_both_terms_are_shown_and_the_model_comes_back(short_run):
    folder, printed = short_run
    assert "edges:" in printed and "pixels:" in printed
    assert "Saved and loaded again" in printed
    assert (folder / "out.keras").stat().st_size > 1e5


def test_it_writes_the_picture(short_run):
    from PIL import Image

    folder, _ = short_run
    with Image.open(folder / "out.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), "float32")
    height, width, _ = pixels.shape
    assert width > 1.5 * height
    assert pixels.std() > 40
