import os
import pathlib
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest

from keras_perceptual.io import read_cube

EXAMPLE = (
    pathlib.Path(__file__).parents[2] / "examples" / "learn_color_grade.py"
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learn_color_grade")
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


def test_the_look_is_learned_for_a_photograph_that_was_not_seen(quick_run):
    _, printed = quick_run
    # What is printed of the photograph does not depend on the training.
    before = errors(printed, "before")
    np.testing.assert_allclose(before, [7.58, 16.85, 18.04, 11.14], rtol=0.01)
    rough, smooth = (
        errors(printed, name) for name in ("learned, not smooth", "learned")
    )
    assert rough[0] < 0.3 * before[0]
    assert smooth[:2] < rough[:2]


def test_the_file_does_the_same_in_other_programs(quick_run):
    _, printed = quick_run
    found = dict(
        re.findall(
            r"^(\w[^:\n]+?) +(\S+), less than half of 1/255$", printed, re.M
        )
    )
    assert float(found["ffmpeg's rules, in NumPy"]) < 1e-6
    assert re.search(r"^OpenColorIO +(not installed|\d.*less)", printed, re.M)


def test_the_file_holds_the_look(quick_run):
    folder, _ = quick_run
    table = read_cube(folder / "out.cube")
    assert table.title == "Film look"
    assert table.cube.shape == (17, 17, 17, 3)
    look = runpy.run_path(str(EXAMPLE))["put_look_on"]
    diagonal = np.arange(17)
    learned = table.cube[diagonal, diagonal, diagonal]
    grays = np.repeat(diagonal[:, None] / 16.0, 3, axis=1)
    # After one epoch, a fifth to a quarter of the way is left.
    left = np.abs(learned - look(grays)).mean()
    assert left < 0.35 * np.abs(grays - look(grays)).mean()


def test_the_model_comes_back_and_the_picture_is_written(quick_run):
    from PIL import Image

    folder, printed = quick_run
    assert "the same picture" in printed
    assert 0 < (folder / "out.keras").stat().st_size < 3e5
    with Image.open(folder / "out.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), "float32")
    height, width, _ = pixels.shape
    assert width > 3 * height
    for quarter in np.array_split(pixels, 4, axis=1):
        assert quarter.std() > 20
