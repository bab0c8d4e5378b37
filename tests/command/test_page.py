"""The page about the command shows what the command prints."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image
from public_objects import REPOSITORY
from sklearn.datasets import load_sample_image

from keras_perceptual import io
from keras_perceptual.command.main import main

PAGE = REPOSITORY / "docs" / "command.md"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.M | re.S)
NUMBER = re.compile(r"\d+\.\d+")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with the files that the page speaks of, as the current one."""
    monkeypatch.chdir(tmp_path)
    true = load_sample_image("china.jpg")[100:292, 200:456]
    noise = np.random.default_rng(0).normal(0, 12, true.shape)
    pred = np.clip(np.rint(true + noise), 0, 255).astype("uint8")
    for folder, image in (("truths", true), ("predictions", pred)):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "cat.png")
        Image.fromarray(true).save(tmp_path / folder / "dog.png")
    Image.fromarray(true).save("true.png")
    Image.fromarray(pred).save("pred.png")
    ramp = np.linspace(0, 1, 5)
    cube = np.stack(np.meshgrid(ramp, ramp, 0.8 * ramp, indexing="ij"), -1)
    io.write_cube("look.cube", io.ColorTable(cube=cube, title="Warm"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.once
def test_page_shows_what_the_command_prints(files, capsys):
    pattern = r"\$ (.+)\n((?:(?!\$ ).*\n)*)"
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    commands = [c for block in blocks for c in re.findall(pattern, block)]
    assert len(commands) >= 8
    for line, expected in commands:
        program, *arguments = shlex.split(line)
        assert program == "keras-perceptual"
        assert main(arguments) == 0, line
        found = capsys.readouterr().out
        # Processors round differently.
        numbers = [
            [float(n) for n in NUMBER.findall(text)]
            for text in (found, expected)
        ]
        assert NUMBER.sub("#", found) == NUMBER.sub("#", expected), line
        np.testing.assert_allclose(*numbers, rtol=1e-3)
    assert (files / "differ.png").exists()
