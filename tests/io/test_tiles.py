import numpy as np
import pytest

from keras_perceptual.io.tiles import cube_size, draw, find_layout, order


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((8, 8), 4),
        ((512, 512), 64),
        ((4096, 4096), 256),
        ((16, 256), 16),
        ((1024, 32), 32),
        ((64, 4096), 64),
        ((128, 256), 32),
        ((33, 1089), 33),
        ((2, 4), 2),
        ((1, 1), None),
        ((0, 0), None),
        ((0, 8), None),
        ((9, 9), None),
        ((16, 255), None),
        ((8, 64), 8),
        ((4, 128), None),
        ((257, 257 * 257), None),
    ],
)
def test_the_shape_says_the_size(shape, size):
    assert cube_size(shape) == size


def test_tiles_go_from_left_to_right_and_down():
    pixels = np.arange(8 * 8 * 3).reshape(8, 8, 3)
    cube = order(pixels, 4, "tiles")
    assert cube[1, 2, 3].tolist() == pixels[4 + 2, 4 + 1].tolist()
    assert cube[0, 3, 1].tolist() == pixels[3, 4].tolist()
    cube = order(pixels, 4, "tiles_bottom_up")
    assert cube[1, 2, 3].tolist() == pixels[7 - 6, 5].tolist()
    cube = order(pixels, 4, "hald")
    assert cube[1, 2, 3].tolist() == pixels.reshape(-1, 3)[57].tolist()


def test_integers_do_not_wrap_around():
    """Down a strip of 8 bits, each step of a negative is below zero."""
    ramp = np.linspace(255, 0, 16).astype("uint8")
    cube = np.stack(np.meshgrid(ramp, ramp, ramp, indexing="ij"), axis=-1)
    picture = cube.transpose(2, 1, 0, 3).reshape(64, 64, 3)
    assert find_layout(picture, 16) == "hald"


@pytest.mark.parametrize("down", [1, 4, 16])
@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1, 1, 1], "tiles"),
        ([-1, -1, -1], "tiles"),
        ([0.4, 0.6, 0], "tiles"),
        ([-0.7, 2.0, -0.3], None),
        ([1.4, -0.3, -0.1], None),
        ([1.4, -0.3, 0.3], None),
    ],
)
def test_a_look_that_darkens_a_channel_is_no_strip_upside_down(
    down, weights, expected
):
    """As films for infrared do; where blue jumps, it is clear all the same."""
    blue, green, red = np.indices((16, 16, 16)) / 15
    look = np.stack([red, green, blue], axis=-1) @ np.array(weights)
    picture = look.reshape(down, 16 // down, 16, 16).transpose(0, 2, 1, 3)
    picture = picture.reshape(16 * down, 256 // down, 1).repeat(3, axis=-1)
    found = find_layout(picture, 16)
    assert found in ("tiles", expected)
    if down == 4 and weights[2]:
        assert found == "tiles"
        assert find_layout(picture[::-1], 16) == "tiles_bottom_up"


def test_a_channel_that_changes_nothing_leaves_the_end_open():
    """Which end of green is up cannot be seen, and would matter."""
    strip = np.zeros((16, 256, 3))
    strip[..., 0] = np.tile(np.arange(16), 16)
    strip[3, 5] = 1
    assert find_layout(strip, 16) is None


def test_a_picture_that_could_be_either_is_left_open(rng):
    """Noise is as rough in every layout, with brightness as of a strip."""
    pixels = rng.uniform(0, 1, (64, 64, 3))
    pixels += np.tile(np.arange(16) / 16, 4)[:, None]
    pixels += np.tile(np.arange(16)[:, None] / 16, (4, 1))[..., None]
    assert find_layout(pixels, 16) is None
    # A strip of the same is one.
    strip = pixels.reshape(4, 16, 64, 3).transpose(1, 0, 2, 3)
    assert find_layout(strip.reshape(16, 256, 3), 16) == "tiles"


@pytest.mark.parametrize("layout", ["hald", "tiles", "tiles_bottom_up"])
def test_what_is_drawn_is_put_in_order_again(layout):
    cube = np.arange(4**3 * 3).reshape(4, 4, 4, 3)
    picture = draw(cube, layout)
    assert picture.shape == ((8, 8, 3) if layout == "hald" else (4, 16, 3))
    np.testing.assert_array_equal(order(picture, 4, layout), cube)


def test_what_is_not_finite_is_left_to_be_refused_by_its_entries():
    assert find_layout(np.full((8, 8, 3), np.nan), 4) == "tiles"
