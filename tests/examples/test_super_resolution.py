import os
import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "super_resolution.py"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("super_resolution")
    finished = subprocess.run(
        [sys.executable, EXAMPLE, "--quick", "--output", "picture.png"],
        cwd=folder,
        env=dict(os.environ, MPLBACKEND="agg"),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder, finished.stdout


def test_it_prints_a_table(quick_run):
    _, printed = quick_run
    rows = re.findall(r"^(\w[\w +]*?) +(\d+\.\d+) +(\d+\.\d+)$", printed, re.M)
    assert [name for name, _, _ in rows] == [
        "bicubic",
        "pixel loss",
        "perceptual loss",
    ]
    assert all(float(decibels) > 10 for _, decibels, _ in rows)
    assert all(float(distance) > 0 for _, _, distance in rows)


def test_it_says_what_the_gain_has_cost(quick_run):
    _, printed = quick_run
    assert re.search(r"(closer to|farther from) the truth .* dB\.", printed)


def test_it_writes_a_picture(quick_run):
    from PIL import Image

    folder, _ = quick_run
    with Image.open(folder / "picture.png") as picture:
        assert picture.width > 800
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 1000


def test_it_writes_a_model_that_fits_in_a_mail(quick_run):
    folder, printed = quick_run
    assert "the same picture" in printed
    assert 0 < (folder / "picture.keras").stat().st_size < 3e6
