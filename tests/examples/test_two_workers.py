import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "two_workers.py"

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow_only]


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_workers")
    finished = subprocess.run(
        [sys.executable, EXAMPLE, "--quick", "--output", "network.keras"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder, finished.stdout


def test_the_chief_alone_shows_the_progress(quick_run):
    _, printed = quick_run
    (line,) = re.findall(r"^2/2 - .*$", printed, re.M)
    shown = dict(re.findall(r"(\w+): (\d+\.\d+)", line))
    assert sorted(shown) == ["edges", "features", "loss", "pixels"]
    terms = {name: float(value) for name, value in shown.items()}
    total = terms["pixels"] + 0.05 * terms["edges"] + 0.01 * terms["features"]
    assert total == pytest.approx(terms["loss"], abs=2e-3)


def test_what_is_saved_is_what_was_trained(quick_run):
    folder, printed = quick_run
    assert "the same picture" in printed
    assert re.search(r"^chelsea: 20\.\d\d dB before, \d", printed, re.M)
    # No weights of the network of the loss.
    assert 0 < (folder / "network.keras").stat().st_size < 1e5
