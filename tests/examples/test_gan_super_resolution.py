import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

EXAMPLE = (
    pathlib.Path(__file__).parents[2] / "examples" / "gan_super_resolution.py"
)

pytestmark = pytest.mark.slow


def run(folder, backend):
    return subprocess.run(
        [sys.executable, EXAMPLE, "--quick", "--output", "picture.png"],
        cwd=folder,
        env=dict(os.environ, MPLBACKEND="agg", KERAS_BACKEND=backend),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gan_super_resolution")
    finished = run(folder, "tensorflow")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder, finished.stdout


def test_all_terms_are_in_the_progress_bar(quick_run):
    _, printed = quick_run
    last = re.sub(r"[\b\r]", "\n", printed.split("Both networks, in turn:")[1])
    found = dict(re.findall(r"(\w+): (\d\.\d+(?:e-\d+)?)", last))
    assert set(found) == {
        "adversarial",
        "discriminator",
        "perceptual",
        "pixels",
    }
    values = {name: float(value) for name, value in found.items()}
    assert all(0.0 < value < 5.0 for value in values.values())
    # Two cross-entropies of a discriminator that knows little as yet.
    assert values["discriminator"] == pytest.approx(2 * np.log(2), rel=0.5)


def test_it_prints_a_table(quick_run):
    _, printed = quick_run
    rows = re.findall(r"^(\w[\w ]*?) +(\d+\.\d+) +(\d+\.\d+)$", printed, re.M)
    assert [name for name, _, _ in rows] == [
        "bicubic",
        "pixel loss",
        "with an adversary",
    ]
    assert all(20 < float(decibels) < 50 for _, decibels, _ in rows)
    # Each training has changed the network, and so the picture.
    assert len({distance for _, _, distance in rows}) == 3


def test_it_writes_a_picture(quick_run):
    from PIL import Image

    folder, _ = quick_run
    with Image.open(folder / "picture.png") as picture:
        assert picture.width > 3 * picture.height
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 1000


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_it_refuses_other_backends(tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    finished = run(tmp_path, backend)
    assert finished.returncode == 1
    assert "KERAS_BACKEND=tensorflow" in finished.stderr
    assert f"Received: KERAS_BACKEND={backend}" in finished.stderr
    assert not list(tmp_path.iterdir())
