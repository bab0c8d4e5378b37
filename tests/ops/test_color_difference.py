import checks
import keras
import numpy as np

from keras_perceptual.ops.color_difference import cie76, ciede2000


def test_is_the_distance_in_cielab(rng):
    x, y = rng.uniform(-80, 80, size=(2, 20, 3)).astype("float32")
    found = cie76(*(keras.ops.convert_to_tensor(z) for z in (x, y)))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found),
        np.linalg.norm(np.float64(x) - y, axis=-1),
        rtol=1e-5,
    )


def test_equal_colors_have_no_distance_and_no_slope(rng):
    """Nor those that are equal but for rounding."""
    x = rng.uniform(0, 80, size=(5, 3)).astype("float32")
    assert not np.any(keras.ops.convert_to_numpy(cie76(x, x)))
    for y in (x, np.nextafter(x, np.float32(100))):
        (slope,) = checks.gradients(
            lambda y: keras.ops.sum(cie76(keras.ops.convert_to_tensor(x), y)), y
        )
        np.testing.assert_array_equal(slope, 0)
    far = x + np.float32([0.3, 0, 0.4])
    (slope,) = checks.gradients(
        lambda y: keras.ops.sum(cie76(keras.ops.convert_to_tensor(x), y)), far
    )
    np.testing.assert_allclose(slope, [[0.6, 0, 0.8]] * 5, atol=1e-3)


# Pairs of Sharma et al. (2005) and others, with what colour-science 0.4.7 says.
PAIRS = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.04246),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.00000),
    ((50, 0, 0), (50, -1, 2), 2.36686),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.17917),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.21947),
    ((50, 2.5, 0), (73, 25, -18), 27.14923),
    ((50, 2.5, 0), (50, 3.2592, 0.335), 1.00003),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.26442),
    ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.03726),
    ((90.8027, -2.0831, 1.441), (91.1528, -1.6435, 0.0447), 1.44413),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.90823),
    ((40, 30, -2), (45, 28, 3), 5.59742),
]


def test_ciede2000_has_the_numbers_of_colour_science():
    """In either order, also where hues wrap and are all but opposite."""
    first, second, expected = (np.float32(x) for x in zip(*PAIRS, strict=True))
    for pair in ((first, second), (second, first)):
        tensors = [keras.ops.convert_to_tensor(x) for x in pair]
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(ciede2000(*tensors)),
            expected,
            atol=1e-4,
        )


def test_ciede2000_has_slopes_that_agree_with_differences(rng):
    x, y = rng.uniform((20, -60, -60), (80, 60, 60), (2, 20, 3))
    x, y = x.astype("float32"), y.astype("float32")
    checks.check_finite_differences(
        lambda y: keras.ops.sum(
            keras.ops.square(ciede2000(keras.ops.convert_to_tensor(x), y))
        ),
        y,
        step=1e-1,
    )


def test_every_slope_of_ciede2000_is_finite():
    """Gray, equal, opposite and all but equal colors, at all hues."""
    hues = np.linspace(0, 2 * np.pi, 25)
    colors = [
        (50, c * np.cos(h), c * np.sin(h))
        for c in (0, 1e-7, 1e-4, 2e-3, 5, 60)
        for h in hues
    ]
    colors = np.float32([(0, 0, 0), (100, 0, 0), *colors])
    x, y = (
        z.reshape(-1, 3)
        for z in np.broadcast_arrays(colors[:, None], colors[None])
    )
    x = np.ascontiguousarray(x)
    (slope,) = checks.gradients(
        lambda y: keras.ops.sum(ciede2000(keras.ops.convert_to_tensor(x), y)),
        np.ascontiguousarray(y),
    )
    assert np.all(np.isfinite(slope))
    assert not np.any(slope[np.all(x == y, -1)])
