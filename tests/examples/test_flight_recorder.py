"""All three faults are told, and the first is run again."""

import os
import pathlib
import subprocess
import sys

import pytest

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "flight_recorder.py"

pytestmark = pytest.mark.slow


def test_every_fault_is_found_and_drawn(tmp_path):
    finished = subprocess.run(
        [sys.executable, EXAMPLE, "--quick", "--output", "out.png"],
        cwd=tmp_path,
        env=dict(os.environ, MPLBACKEND="agg"),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    (number,) = (
        n for n, line in enumerate(lines, 1) if "mean) / contrast" in line
    )
    black, schedule, dead = (
        finished.stdout.split(f"{n}. A")[1] for n in (1, 2, 3)
    )
    assert f"flight_recorder.py:{number}" in black
    assert "sample (5,), every bit the same: True" in black
    assert "leaping=['denoiser/first/kernel', " in schedule
    assert "silent=['denoiser/second']" in dead
    assert (tmp_path / "out.png").stat().st_size > 10_000
