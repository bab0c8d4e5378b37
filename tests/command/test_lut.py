"""What the command does with LUTs, against the functions of `io`."""

import numpy as np
import pytest
from PIL import Image

from keras_perceptual import io
from keras_perceptual.command.main import main


@pytest.fixture
def look(tmp_path):
    """Path of a file with a cube."""
    ramp = np.linspace(0, 1, 5)
    red, green, blue = np.meshgrid(ramp, ramp, ramp, indexing="ij")
    cube = np.stack([red**2, 0.5 + 0.5 * green, blue], axis=-1)
    path = tmp_path / "look.cube"
    io.write_cube(path, io.ColorTable(cube=cube, title="Warm"))
    return str(path)


def test_apply_changes_colors_and_keeps_opacity(tmp_path, look, rng):
    pixels = rng.integers(0, 256, (4, 6, 4)).astype("uint8")
    source, target = (str(tmp_path / n) for n in ("source.png", "target.png"))
    Image.fromarray(pixels).save(source)
    assert main(["lut", "apply", look, source, target]) == 0
    found = np.array(Image.open(target))
    np.testing.assert_array_equal(found[..., 3], pixels[..., 3])
    colors = io.apply_table(io.read_table(look), pixels[..., :3] / 255)
    np.testing.assert_allclose(found[..., :3] / 255, colors, atol=0.51 / 255)


def test_convert_resizes(tmp_path, look):
    output = str(tmp_path / "small.cube")
    assert main(["lut", "convert", look, output, "--size", "3"]) == 0
    expected = io.resize_table(io.read_table(look), cube=3)
    np.testing.assert_allclose(
        io.read_table(output).cube, expected.cube, atol=1e-6
    )
    curves = tmp_path / "curves.cube"
    curves.write_text("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n")
    assert main(["lut", "convert", str(curves), output, "--size", "3"]) == 0
    assert io.read_table(output).curves.shape == (3, 3)


def test_composed_with_its_inverse_nothing_is_changed(tmp_path, look):
    inverse, both = (str(tmp_path / n) for n in ("back.cube", "both.cube"))
    assert main(["lut", "invert", look, inverse, "--size", "17"]) == 0
    assert main(["lut", "compose", look, inverse, both]) == 0
    found = io.read_table(both).cube
    ramp = np.linspace(0, 1, 5)
    expected = np.stack(np.meshgrid(ramp, ramp, ramp, indexing="ij"), axis=-1)
    # Between the entries the inverse of a square is straight.
    np.testing.assert_allclose(found, expected, atol=0.07)


def test_show_says_what_is_in_it(look, capsys):
    assert main(["lut", "show", look]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "title\tWarm",
        "cube\t5 x 5 x 5",
        "cube domain\t0 0 0 to 1 1 1",
        "cube entries\t0 0.5 0 to 1 1 1",
    ]


def test_what_cannot_be_written_is_refused(tmp_path, look, capsys):
    assert main(["lut", "convert", look, str(tmp_path / "x.docx")]) == 2
    assert "docx" in capsys.readouterr().err
