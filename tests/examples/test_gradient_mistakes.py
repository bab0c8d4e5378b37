import os
import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLE = (
    pathlib.Path(__file__).parents[2] / "examples" / "gradient_mistakes.py"
)

pytestmark = pytest.mark.slow


def line_of(text):
    """Returns the number of the line of the example that has a text."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    (number,) = [n for n, line in enumerate(lines, start=1) if text in line]
    return number


def test_every_mistake_is_noticed_and_located(tmp_path):
    finished = subprocess.run(
        [sys.executable, EXAMPLE],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    parts = re.split(r"^\d\. ", finished.stdout, flags=re.M)[1:]
    assert len(parts) == 5
    located = [
        ("keras.ops.argmax", "right = ops.equal("),
        ("keras.ops.round", "return ops.round(x * 8) / 8"),
        ("'second' (Dense)", None),
        ("keras.ops.round", "ops.abs(y_true - ops.round(y_pred))"),
        ("keras.ops.sqrt", "return ops.sqrt("),
    ]
    for part, (name, code) in zip(parts, located, strict=True):
        assert name in part
        if code is not None:
            assert f"gradient_mistakes.py:{line_of(code)}" in part
