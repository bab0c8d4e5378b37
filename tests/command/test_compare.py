"""What `compare` prints, against the functions that it stands for."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from keras_perceptual import functional
from keras_perceptual.command import compare
from keras_perceptual.command.main import main


@pytest.fixture
def pair(tmp_path, rng):
    """Paths of two pictures, and their pixels."""
    pixels = rng.integers(0, 256, (2, 40, 44, 3)).astype("uint8")
    paths = [str(tmp_path / name) for name in ("true.png", "pred.png")]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return paths, pixels


def test_numbers_are_those_of_the_functions(pair, capsys):
    paths, (true, pred) = pair
    names = ["lpips", "perceived", "ssim", "psnr"]
    assert main(["compare", *paths, "--json", "--metric", *names]) == 0
    found = json.loads(capsys.readouterr().out)
    images = [x[None] / 255 for x in (true, pred)]
    error = np.mean((images[0] - images[1]) ** 2)
    assert found == {
        "lpips": pytest.approx(float(functional.lpips(*images)[0]), rel=1e-4),
        "perceived": pytest.approx(
            float(functional.perceived_distance(*images)[0]), rel=1e-4
        ),
        "ssim": pytest.approx(float(functional.ssim(*images)[0]), rel=1e-4),
        "psnr": pytest.approx(-10 * math.log10(error)),
    }


def test_text_is_a_line_for_each_metric(pair, capsys):
    paths, _ = pair
    assert main(["compare", *paths, "--metric", "psnr", "ssim"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["psnr", "ssim"]


def test_equal_pictures_have_an_infinite_psnr(pair, capsys):
    paths, _ = pair
    same = [paths[0], paths[0], "--metric", "psnr"]
    assert main(["compare", *same]) == 0
    assert capsys.readouterr().out == "psnr  inf\n"
    assert main(["compare", *same, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"psnr": None}


def test_folders_are_paired_by_name(tmp_path, pair, capsys):
    _, (true, pred) = pair
    for folder in ("true", "pred"):
        (tmp_path / folder).mkdir()
    Image.fromarray(true).save(tmp_path / "true" / "one.png")
    Image.fromarray(true).save(tmp_path / "pred" / "one.bmp")
    Image.fromarray(true).save(tmp_path / "true" / "two.png")
    Image.fromarray(pred).save(tmp_path / "pred" / "two.png")
    (tmp_path / "pred" / "notes.txt").write_text("Not a picture.")
    folders = [str(tmp_path / "true"), str(tmp_path / "pred")]
    assert main(["compare", *folders, "--metric", "ssim"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["image", "one", "two", "mean"]
    one, two, mean = (float(row[1]) for row in rows[1:])
    assert one == 1 > two
    assert mean == pytest.approx((one + two) / 2, rel=1e-5)
    (tmp_path / "pred" / "two.png").unlink()
    assert main(["compare", *folders]) == 2
    assert "without a partner: two" in capsys.readouterr().err


def test_map_is_bright_where_the_images_differ(tmp_path, pair):
    paths, (true, _) = pair
    other = true.copy()
    other[:, 30:] = 255 - other[:, 30:]
    Image.fromarray(other).save(paths[1])
    output = tmp_path / "map.png"
    command = ["compare", *paths, "--metric", "psnr", "ssim", "--map"]
    assert main([*command, str(output)]) == 0
    drawn = np.array(Image.open(output)).astype(float)
    assert drawn.shape == true.shape[:2]
    assert drawn.max() == 255
    assert drawn[:, 35:].mean() > 10 * drawn[:, :15].mean()


def test_map_of_equal_images_is_black(pair):
    _, (true, _) = pair
    assert compare.draw_map("ssim", true[None], true[None]).max() == 0


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda x: x[:20], "one size"),
        (lambda x: np.dstack([x, np.full(x.shape[:2], 9, "uint8")]), "opaque"),
        (lambda x: x[..., 0].astype("uint16"), "8 bits"),
    ],
)
def test_what_cannot_be_compared_is_refused(pair, change, complaint, capsys):
    paths, (true, _) = pair
    Image.fromarray(change(true)).save(paths[1])
    assert main(["compare", *paths]) == 2
    assert complaint in capsys.readouterr().err
