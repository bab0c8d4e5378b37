"""The page shows what its code draws."""

import re

import numpy as np
import pytest
from public_objects import REPOSITORY

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")
pytest.importorskip("skimage")
DOCS = REPOSITORY / "docs"


@pytest.mark.slow
def test_the_code_draws_the_pictures(tmp_path, monkeypatch):
    page = (DOCS / "looking_at_training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    shorter = code.replace("epochs=3,", "epochs=1,")
    assert shorter != code
    monkeypatch.chdir(tmp_path)
    exec(compile(shorter, "looking_at_training.md", "exec"), {})

    sheets = {}
    for name, path in {
        "drawn": tmp_path / "logs" / "epoch-0001.png",
        "shown": DOCS / "looking_at_training.png",
    }.items():
        with Image.open(path) as image:
            sheets[name] = np.asarray(image.convert("RGB"), "float32")
    assert sheets["drawn"].shape == sheets["shown"].shape
    # Before training it is 5, after one epoch 1.
    assert np.abs(sheets["drawn"] - sheets["shown"]).mean() < 3
    names = {path.name for path in (tmp_path / "logs").glob("*.png")}
    assert "epoch-0001-colors.png" in names
