import os

import keras
import numpy as np
import pytest

from keras_perceptual import PerceptualLoss
from keras_perceptual.losses.style_image import read_image


@pytest.fixture
def picture():
    y, x = np.mgrid[:40, :56]
    return np.stack([y * 6, x * 4, (x + y) * 2], -1).astype("uint8")


def test_arrays_are_taken_as_they_are(picture):
    found = read_image("A loss", picture, (0, 255))
    np.testing.assert_array_equal(found, picture.astype("float32"))


def test_files_are_moved_into_the_range(picture, tmp_path):
    path = tmp_path / "style.png"
    keras.utils.save_img(path, picture, scale=False)
    np.testing.assert_array_equal(
        read_image("A loss", path, (0.0, 255.0)), picture
    )
    np.testing.assert_allclose(
        read_image("A loss", str(path), (-1.0, 1.0)),
        picture / 127.5 - 1,
        atol=1e-6,
    )


def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(ValueError, match=r"shape \(1, 40, 56, 3\)"):
        read_image("A loss", picture[None], (0, 255))
    with pytest.raises(FileNotFoundError, match="Received: style_image="):
        read_image("A loss", "nowhere.png", (0, 255))


@pytest.mark.parametrize("shape", [(40, 56), (40, 56, 1)])
def test_gray_arrays_are_pictures(picture, shape):
    gray = picture[..., 0].reshape(shape) / 255
    expected = style_only(style_image=np.stack(3 * [picture[..., 0] / 255], -1))
    images = np.zeros((1, 64, 64, 3), "float32")
    assert float(style_only(style_image=gray)(images, images)) == pytest.approx(
        float(expected(images, images)), rel=1e-6
    )


def test_the_values_of_an_array_are_looked_at(picture):
    with pytest.warns(UserWarning, match=r"style_image holds.*\(0, 255\)"):
        read_image("A loss", picture, (0.0, 1.0))
    with pytest.raises(ValueError, match="check_range='raise'"):
        style_only(style_image=picture, check_range="raise")
    with pytest.warns(UserWarning, match=r"look like images in \(0, 1\)"):
        read_image("A loss", picture / 255, (0.0, 255.0))
    with pytest.warns(UserWarning, match="style_image holds"):
        clipped = read_image("A loss", picture, (0.0, 1.0), "clip")
    assert clipped.max() == 1
    assert read_image("A loss", picture, (0.0, 1.0), "off").max() > 200


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_array_with_nan_is_refused(picture, value):
    pixels = picture.astype("float32")
    pixels[3, 4, 1] = value
    with pytest.raises(ValueError, match="1 values that are NaN or infinite"):
        read_image("A loss", pixels, (0, 255))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 4)),
        np.zeros(8),
        np.zeros((0, 8, 3)),
        np.array(["a", "b"]),
        [[1, 2], [3]],
        {"image": 0},
    ],
    ids=repr,
)
def test_what_is_no_array_of_a_picture_is_refused(image):
    with pytest.raises(ValueError, match="Received: style_image"):
        read_image("A loss", image, (0, 1))


def test_files_that_are_no_picture_are_named(tmp_path, picture):
    path = tmp_path / "style.png"
    keras.utils.save_img(path, picture, scale=False)
    path.write_bytes(path.read_bytes()[:90])
    text = tmp_path / "style.txt"
    text.write_text("root:x:0:0")
    for wrong in (path, text):
        with pytest.raises(ValueError, match=rf"Pillow.*{wrong.name}'$"):
            read_image("A loss", wrong, (0, 1))
    with pytest.raises(FileNotFoundError, match="finds no picture"):
        read_image("A loss", tmp_path, (0, 1))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="not pipes or devices"):
            read_image("A loss", tmp_path / "pipe", (0, 1))


@pytest.mark.parametrize(
    ("mode", "message"),
    [("I;16", "8 bits"), ("F", "8 bits"), ("RGBA", None), ("L", None)],
)
def test_modes_of_pillow(mode, message, tmp_path):
    """16 bits would be cut off at 255, which is nearly black."""
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "style.tif"
    image.new(mode, (8, 8), 100).save(path)
    if message is None:
        assert read_image("A loss", path, (0.0, 255.0)).shape == (8, 8, 3)
    else:
        with pytest.raises(ValueError, match=message):
            read_image("A loss", path, (0.0, 255.0))


def test_a_picture_too_large_is_refused_before_it_is_decoded(
    tmp_path, monkeypatch
):
    image = pytest.importorskip("PIL.Image")
    image.new("L", (9000, 8000)).save(tmp_path / "style.png")
    with pytest.raises(ValueError, match="9000 x 8000 pixels"):
        read_image("A loss", tmp_path / "style.png", (0, 1))


def style_only(**kwargs):
    return PerceptualLoss(
        "alexnet", content_weight=0.0, style_weight=1.0, **kwargs
    )


@pytest.mark.parametrize("options", [{}, {"scales": 2}])
def test_takes_the_place_of_the_target_in_the_style(options, rng):
    images = rng.uniform(size=(3, 2, 64, 64, 3)).astype("float32")
    content, pred, (style, _) = images
    loss = style_only(style_image=style, **options)
    expected = style_only(**options)(np.stack([style, style]), pred)
    assert float(loss(content, pred)) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_may_be_of_another_size_and_layout(rng):
    style = rng.uniform(size=(80, 48, 3)).astype("float32")
    pred = rng.uniform(size=(1, 64, 64, 3)).astype("float32")
    last = style_only(style_image=style)
    first = style_only(style_image=style, data_format="channels_first")
    moved = np.moveaxis(pred, -1, 1)
    assert float(first(moved, moved)) == pytest.approx(
        float(last(pred, pred)), rel=1e-5
    )
    assert float(last(pred, pred)) > 0


def test_is_not_encoded_again(rng):
    images = rng.uniform(size=(3, 1, 64, 64, 3)).astype("float32")
    content, pred, (style,) = images
    both = PerceptualLoss("alexnet", style_weight=1.0, style_image=style)
    plain = PerceptualLoss("alexnet")
    assert both.encode(content).shape == plain.encode(content).shape
    assert float(both(both.encode(content), pred)) == pytest.approx(
        float(both(content, pred)), rel=1e-5
    )


@pytest.mark.slow
def test_fit_takes_encoded_targets_beside_it(rng):
    images, content = rng.uniform(size=(2, 2, 48, 48, 3)).astype("float32")
    style = rng.uniform(size=(40, 56, 3)).astype("float32")
    loss = PerceptualLoss(
        "alexnet", ["relu1", "relu2"], style_weight=1.0, style_image=style
    )

    def history(targets):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((48, 48, 3)), keras.layers.Conv2D(3, 1)]
        )
        model.compile("sgd", loss)
        return model.fit(images, targets, epochs=2, verbose=0).history["loss"]

    encoded = keras.ops.convert_to_numpy(loss.encode(content))
    np.testing.assert_allclose(history(encoded), history(content), rtol=1e-4)


def test_is_saved_with_the_loss(picture, tmp_path, rng):
    pred = rng.uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    path = tmp_path / "style.png"
    keras.utils.save_img(path, picture, scale=False)
    for style_image in (picture, path):
        loss = style_only(style_image=style_image, value_range=(0, 255))
        again = keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(loss)
        )
        assert float(again(pred, pred)) == float(loss(pred, pred)) > 0


@pytest.mark.parametrize(
    "argument", [{"style_layers": ["relu1"]}, {"style_image": "x.png"}]
)
def test_has_no_use_without_a_style_term(argument):
    with pytest.raises(ValueError, match="Received: style_weight=0"):
        PerceptualLoss("alexnet", **argument)
