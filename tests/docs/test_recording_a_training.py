"""The loop of each backend is recorded, on that backend."""

import importlib.util
import re

import pytest
from public_objects import REPOSITORY, run_python

PAGE = REPOSITORY / "docs" / "recording_a_training.md"


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, title",
    [("tensorflow", "TensorFlow"), ("jax", "JAX"), ("torch", "PyTorch")],
)
def test_loop_is_recorded(backend, title):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{title} is not installed")
    parts = re.split(r"^##+ ", PAGE.read_text("utf-8"), flags=re.M)
    chosen = ("My loss became NaN", "A loop of your own", title)
    sections = [part for part in parts if part.startswith(chosen)]
    assert len(sections) == len(chosen)
    code = [
        block
        for text in sections
        for block in re.findall(r"^```py\w*\n(.*?)^```", text, re.M | re.S)
    ]
    printed = run_python("\n".join(code), backend=backend)
    assert printed.splitlines()[-1] == "[3] [1, 2, 4, 6, 8]"
