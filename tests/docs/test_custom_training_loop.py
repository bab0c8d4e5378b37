"""The loop of each backend trains, on that backend."""

import importlib.util
import re

import pytest
from public_objects import REPOSITORY, run_python

PAGE = REPOSITORY / "docs" / "custom_training_loop.md"


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, title",
    [("tensorflow", "TensorFlow"), ("jax", "JAX"), ("torch", "PyTorch")],
)
def test_loop_trains(backend, title):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{title} is not installed")
    start, *sections = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.M)
    (section,) = (s for s in sections if s.startswith(f"{title}\n"))
    code = [
        block
        for text in (start, section)
        for block in re.findall(r"^```py\w*\n(.*?)^```", text, re.M | re.S)
    ]
    printed = run_python("\n".join(code), backend=backend)
    assert printed.splitlines()[-2:] == ["2 of 2", "True"]
