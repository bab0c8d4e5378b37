import checks
import keras
import numpy as np
import pytest
from reference import color_lookup as reference

from keras_perceptual.layers.table_reading import Reading, read_colors

PLAIN = {
    "dimensions": 3,
    "interpolation": "linear",
    "extrapolate": "clamp",
    "data_format": "channels_last",
    "value_range": (0.0, 1.0),
    "domain": None,
    "dtype": "float32",
}


def read(images, table, shaper=None, **settings):
    reading = Reading(**{**PLAIN, **settings})
    return keras.ops.convert_to_numpy(
        read_colors(reading, images, table, shaper)
    )


@pytest.fixture
def images(rng):
    return rng.uniform(-0.2, 1.2, (2, 4, 5, 3)).astype("float32")


@pytest.fixture
def cube(rng):
    return rng.uniform(0, 1, (4, 4, 4, 3)).astype("float32")


def test_a_domain_a_channel_is_a_scale_a_channel(rng, images, cube):
    domain = ((-1.0, 0.0, 0.5), (1.0, 0.25, 2.5))
    low, high = np.array(domain)
    curves = rng.uniform(0, 1, (5, 3)).astype("float32")
    scaled = images * (high - low) + low
    for table, settings in ((cube, {}), (curves, {"dimensions": 1})):
        twin = reference.trilinear if table is cube else reference.curves
        found = read(
            scaled.astype("float32"),
            table,
            domain=domain,
            value_range=(-1.0, 2.5),
            **settings,
        )
        expected = twin(np.clip(images, 0, 1), table) * 3.5 - 1
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gradients_through_a_domain_a_channel(rng, cube):
    low, high = domain = ((-1.0, 0.0, 0.5), (1.0, 1.5, 2.5))
    # Well inside the cells.
    places = (rng.integers(0, 3, (30, 3)) + rng.uniform(0.2, 0.8, (30, 3))) / 3
    colors = places * (np.array(high) - low) + low
    weights = rng.uniform(-1, 1, (30, 3)).astype("float32")
    reading = Reading(**{**PLAIN, "domain": domain, "value_range": (-1.0, 2.5)})

    def total(colors, table):
        found = read_colors(reading, colors, table, None)
        return keras.ops.sum(keras.ops.multiply(found, weights))

    checks.check_finite_differences(
        total, colors.astype("float32"), cube, step=5e-3
    )


def test_a_shaper_comes_first_and_transparency_stays(rng, images, cube):
    shaper = rng.uniform(0, 1, (6, 3)).astype("float32")
    alpha = rng.uniform(0, 1, (2, 4, 5, 1)).astype("float32")
    given = np.moveaxis(np.concatenate([images, alpha], axis=-1), -1, 1)
    found = read(given, cube, shaper, data_format="channels_first")
    expected = reference.trilinear(
        reference.curves(np.clip(images, 0, 1), shaper), cube
    )
    np.testing.assert_allclose(
        found[:, :3], np.moveaxis(expected, -1, 1), atol=1e-5
    )
    np.testing.assert_array_equal(found[:, 3], alpha[..., 0])


def test_equal_settings_are_found_again():
    one, other = (Reading(**PLAIN) for _ in range(2))
    assert {one: "compiled"}[other] == "compiled"
    assert one != Reading(**{**PLAIN, "dtype": "float16"})


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("dimensions", [1, 3])
def test_double_precision_is_kept(rng, dimensions):
    images = rng.uniform(0, 1, (2, 4, 5, 3))
    table = rng.uniform(0, 1, (4,) * dimensions + (3,))
    found = read(images, table, dimensions=dimensions, dtype="float64")
    twin = reference.trilinear if dimensions == 3 else reference.curves
    np.testing.assert_allclose(found, twin(images, table), atol=1e-14)


def test_what_comes_out_may_have_a_range_of_its_own(images, cube):
    found = read(images, cube, output_range=(-2.0, 3.0))
    expected = reference.trilinear(np.clip(images, 0, 1), cube) * 5 - 2
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_is_three_equal_channels_unless_the_curve_is_one(
    rng, images, cube, channels
):
    gray = images[..., :1]
    curves = rng.uniform(0, 1, (5, channels)).astype("float32")
    np.testing.assert_array_equal(
        read(gray, cube), read(gray.repeat(3, -1), cube)
    )
    found = read(gray, curves, dimensions=1)
    assert found.shape[-1] == channels
    domain = ((0.0,) * 3, (0.5,) * 3)
    assert read(gray, curves, dimensions=1, domain=domain).shape[-1] == 3


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_a_table_for_each_image(rng, images, cube, interpolation):
    cubes = np.stack([cube, cube[::-1]])
    found = read(images, cubes, interpolation=interpolation)
    for one, image, table in zip(found, images, cubes, strict=True):
        alone = read(image[None], table, interpolation=interpolation)
        np.testing.assert_allclose(one, alone[0], atol=1e-6)
