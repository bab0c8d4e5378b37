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
