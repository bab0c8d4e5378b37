import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "style_transfer.py"

pytestmark = pytest.mark.slow


def run(folder, *arguments):
    finished = subprocess.run(
        [sys.executable, EXAMPLE, "--quick", "--output", "out", *arguments],
        cwd=folder,
        env=dict(os.environ, MPLBACKEND="agg"),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def read(path):
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), "float32") / 255.0


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("style_transfer")
    printed = run(folder)
    return folder / "out", printed


def terms(printed, when):
    found = re.search(
        rf"^{when} +content +(\S+) +style +(\S+) +together +(\S+)$",
        printed,
        re.M,
    )
    return [float(value) for value in found.groups()]


def test_style_is_gained_and_content_paid_for_it(quick_run):
    _, printed = quick_run
    content, style, together = terms(printed, "before")
    assert content == 0.0 and style == together > 1.0
    content, style, together = terms(printed, "after")
    assert together == pytest.approx(content + style, abs=2e-4)
    assert 0.0 < content and style < 0.7 * terms(printed, "before")[1]


def test_it_writes_a_picture_after_each_epoch(quick_run):
    folder, _ = quick_run
    first, second = (read(folder / f"epoch_0{n}.png") for n in (1, 2))
    assert first.shape == second.shape == (64, 96, 3)
    assert 0.005 < np.mean(np.abs(first - second)) < 0.5
    np.testing.assert_array_equal(read(folder / "picture.png"), second)


def test_the_picture_is_still_that_of_the_photograph(quick_run):
    import skimage.data
    import skimage.transform

    folder, _ = quick_run
    picture = read(folder / "picture.png")
    cat = skimage.transform.resize(skimage.data.chelsea(), picture.shape)
    brightness = [x.mean(axis=-1).ravel() for x in (picture, cat)]
    assert 0.5 < np.corrcoef(*brightness)[0, 1] < 0.99


def test_it_writes_all_three_side_by_side(quick_run):
    folder, _ = quick_run
    comparison = read(folder / "comparison.png")
    height, width, _ = comparison.shape
    assert width > 3 * height
    for third in np.array_split(comparison, 3, axis=1):
        assert third.std() > 0.1


def test_it_takes_pictures_of_ones_own(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    # With an alpha channel, and upright.
    content = np.full((150, 100, 4), 255, "uint8")
    content[40:110, 30:70, :3] = 40
    Image.fromarray(content).save(tmp_path / "content.png")
    stripes = np.zeros((64, 64, 3), "uint8")
    stripes[::8] = stripes[1::8] = 200
    stripes[..., 0] += rng.integers(0, 50, (64, 64), dtype="uint8")
    Image.fromarray(stripes).save(tmp_path / "style.png")

    printed = run(tmp_path, "--content", "content.png", "--style", "style.png")
    assert terms(printed, "after")[2] < terms(printed, "before")[2]
    picture = read(tmp_path / "out" / "picture.png")
    assert picture.shape == (96, 64, 3)
    assert picture[40:60, 25:40].mean() < picture[:20].mean()
