import contextlib
import types

import checks
import keras
import numpy as np
import pytest
from reference import color_lookup as reference
from sampling import rarely

from keras_perceptual import ops
from keras_perceptual.ops import color_lookup
from keras_perceptual.ops.value_range import clamp

BLENDS = ("linear", "tetrahedral")
REFERENCE = {
    "linear": reference.trilinear,
    "tetrahedral": reference.tetrahedral,
}


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture
def cube(rng):
    return rng.uniform(-0.5, 1.5, (5, 5, 5, 3)).astype("float32")


@pytest.fixture
def curves(rng):
    return rng.uniform(-0.5, 1.5, (6, 3)).astype("float32")


@pytest.fixture
def colors(rng):
    return rng.uniform(0, 1, (4, 7, 3)).astype("float32")


@pytest.fixture
def nodes():
    """Every entry of a cube of five, as a color."""
    return ops.identity_cube(5).reshape(-1, 3)


def inside_cells(rng, size, count, margin=0.2):
    """Colors well inside their cell, and well off its diagonal planes."""
    cell = rng.integers(0, size - 1, (count, 3))
    place = rng.permuted(np.tile([margin, 0.5, 1 - margin], (count, 1)), axis=1)
    place += rng.uniform(-0.05, 0.05, (count, 3))
    return ((cell + place) / (size - 1)).astype("float32")


# Values.


def test_the_trilinear_twin_agrees_with_scipy(colors, nodes, cube):
    ndimage = pytest.importorskip("scipy.ndimage")
    for x in (colors, nodes):
        coordinates = np.moveaxis(x.astype("float64"), -1, 0) * 4
        expected = np.stack(
            [
                ndimage.map_coordinates(
                    cube[..., c].astype("float64"), coordinates, order=1
                )
                for c in range(3)
            ],
            axis=-1,
        )
        np.testing.assert_allclose(
            reference.trilinear(x, cube), expected, atol=1e-12
        )


@pytest.mark.parametrize("interpolation", BLENDS)
def test_cube_equals_the_numpy_twin(colors, cube, interpolation):
    found = to_numpy(ops.look_up_cube(colors, cube, interpolation))
    expected = REFERENCE[interpolation](colors, cube)
    assert found.shape == colors.shape
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_curves_equal_the_numpy_twin(colors, curves):
    found = to_numpy(ops.look_up_curves(colors, curves))
    expected = reference.curves(colors, curves)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("interpolation", [*BLENDS, "nearest"])
def test_an_edge_of_its_own_size_for_each_channel(rng, colors, interpolation):
    cube = rng.uniform(0, 1, (2, 5, 9, 4)).astype("float32")
    found = to_numpy(ops.look_up_cube(colors, cube, interpolation))
    twin = {**REFERENCE, "nearest": reference.nearest}[interpolation]
    # The twins return as many channels as they are given.
    expected = np.concatenate(
        [twin(colors, cube[..., c : c + 3]) for c in (0, 1)], axis=-1
    )[..., [0, 1, 2, 5]]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    identity = ops.look_up_cube(
        colors, ops.identity_cube((2, 5, 9)), interpolation
    )
    if interpolation != "nearest":
        np.testing.assert_allclose(to_numpy(identity), colors, atol=2.5e-7)


def test_nearest_entries(rng, curves, cube):
    colors = rng.uniform(-0.2, 1.2, (4, 7, 3)).astype("float32")
    found = to_numpy(ops.look_up_cube(colors, cube, "nearest"))
    np.testing.assert_array_equal(found, reference.nearest(colors, cube))
    found = to_numpy(ops.look_up_curves(colors, curves, "nearest"))
    expected = reference.nearest_on_curves(colors, curves)
    np.testing.assert_array_equal(found, expected)


def test_halfway_between_two_entries_the_upper_one_is_nearest():
    curve = np.float32([[0], [1], [2]])
    colors = np.float32([[0.25], [0.75], [1.0], [0.0]])
    found = to_numpy(ops.look_up_curves(colors, curve, "nearest"))
    np.testing.assert_array_equal(found[:, 0], [1, 2, 2, 0])


@pytest.mark.parametrize("name", ["look_up_cube", "look_up_curves"])
def test_nearest_entries_of_what_is_not_finite(name, cube, curves):
    table = {"look_up_cube": cube, "look_up_curves": curves}[name]
    colors = np.float32([[np.nan, 0, 0], [np.inf, -np.inf, 1]])
    found = to_numpy(getattr(ops, name)(colors, table, "nearest"))
    lost = np.isnan(found[0])
    assert lost.all() if name == "look_up_cube" else lost.tolist()[:1] == [True]
    ends = cube[-1, 0, -1] if name == "look_up_cube" else None
    expected = [curves[-1, 0], curves[0, 1], curves[-1, 2]]
    np.testing.assert_array_equal(found[1], expected if ends is None else ends)


@pytest.mark.parametrize("interpolation", [*BLENDS, "nearest"])
def test_a_cube_for_each_image(rng, interpolation):
    colors = rng.uniform(0, 1, (3, 4, 5, 3)).astype("float32")
    cubes = rng.uniform(0, 1, (3, 2, 3, 4, 3)).astype("float32")
    found = to_numpy(ops.look_up_cube(colors, cubes, interpolation))
    for one, image, cube in zip(found, colors, cubes, strict=True):
        expected = to_numpy(ops.look_up_cube(image, cube, interpolation))
        np.testing.assert_allclose(one, expected, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("channels", [1, 3])
def test_curves_for_each_image(rng, interpolation, channels):
    colors = rng.uniform(0, 1, (3, 4, 5, 3)).astype("float32")
    curves = rng.uniform(0, 1, (3, 6, channels)).astype("float32")
    found = to_numpy(ops.look_up_curves(colors, curves, interpolation))
    for one, image, curve in zip(found, colors, curves, strict=True):
        own = np.broadcast_to(curve, (6, 3))
        expected = to_numpy(ops.look_up_curves(image, own, interpolation))
        np.testing.assert_allclose(one, expected, atol=1e-6)


@pytest.mark.parametrize("interpolation", BLENDS)
def test_gradient_of_a_cube_for_each_image(rng, interpolation):
    colors = inside_cells(rng, 3, 8).reshape(2, 4, 3)
    cubes = rng.uniform(0, 1, (2, 3, 3, 3, 3)).astype("float32")

    def energy(colors, cubes):
        found = ops.look_up_cube(colors, cubes, interpolation)
        return keras.ops.sum(keras.ops.square(found))

    of_colors, of_cubes = checks.gradients(energy, colors, cubes)
    for i in range(2):
        expected = checks.gradients(energy, colors[i], cubes[i])
        np.testing.assert_allclose(of_colors[i], expected[0], atol=1e-5)
        np.testing.assert_allclose(of_cubes[i], expected[1], atol=1e-5)


def test_nearest_entries_learn_and_colors_do_not(rng, cube):
    colors = rng.uniform(0, 1, (6, 3)).astype("float32")

    def total(cube):
        return keras.ops.sum(
            ops.look_up_cube(
                keras.ops.convert_to_tensor(colors), cube, "nearest"
            )
        )

    (found,) = checks.gradients(total, cube)
    expected = np.zeros_like(cube)
    index = np.clip(np.floor(colors * 4 + 0.5), 0, 4).astype(int)
    np.add.at(expected, tuple(index.T), 1.0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("interpolation", BLENDS)
def test_entries_are_returned_as_they_are(nodes, cube, interpolation):
    found = to_numpy(ops.look_up_cube(nodes, cube, interpolation))
    np.testing.assert_allclose(found, cube.reshape(-1, 3), rtol=0, atol=2e-7)


@pytest.mark.parametrize("size", [2, 3, 17, 33, 64])
def test_identity(rng, size):
    colors = rng.uniform(0, 1, (500, 3)).astype("float32")
    colors[:2] = [[0, 0, 0], [1, 1, 1]]
    cube, curves = ops.identity_cube(size), ops.identity_curves(size)
    assert cube.shape == (size, size, size, 3)
    assert curves.shape == (size, 3)
    for found in (
        ops.look_up_cube(colors, cube),
        ops.look_up_cube(colors, cube, "tetrahedral"),
        ops.look_up_curves(colors, curves),
    ):
        np.testing.assert_allclose(to_numpy(found), colors, atol=2.5e-7)


@pytest.mark.parametrize("interpolation", [*BLENDS, "nearest"])
def test_a_table_of_one_color_gives_that_color(rng, interpolation):
    colors = rng.uniform(-0.5, 1.5, (50, 3)).astype("float32")
    only = np.float32([0.1, 0.7, 1.3])
    cube = np.broadcast_to(only, (4, 5, 6, 3))
    found = to_numpy(ops.look_up_cube(colors, cube, interpolation))
    np.testing.assert_allclose(found, np.tile(only, (50, 1)), rtol=1e-6)
    if interpolation != "tetrahedral":
        curves = np.broadcast_to(only, (4, 3))
        found = to_numpy(ops.look_up_curves(colors, curves, interpolation))
        np.testing.assert_allclose(found, np.tile(only, (50, 1)), rtol=1e-6)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("interpolation", [*BLENDS, "nearest"])
def test_no_channel_is_preferred(rng, interpolation, order):
    """Channels swapped in the table and in the colors swap the result."""
    colors = rng.uniform(0, 1, (50, 3)).astype("float32")
    colors[:10] = colors[:10, :1]
    cube = rng.uniform(0, 1, (3, 4, 5, 3)).astype("float32")
    expected = to_numpy(ops.look_up_cube(colors, cube, interpolation))
    found = ops.look_up_cube(
        colors[:, order], cube.transpose(*order, 3)[..., order], interpolation
    )
    np.testing.assert_allclose(to_numpy(found), expected[:, order], atol=2e-7)


@pytest.mark.parametrize("interpolation", [*BLENDS, "nearest"])
def test_a_mixture_of_tables_gives_a_mixture_of_colors(
    rng, colors, interpolation
):
    cubes = rng.uniform(0, 1, (2, 5, 5, 5, 3)).astype("float32")
    one, two = (
        to_numpy(ops.look_up_cube(colors, cube, interpolation))
        for cube in cubes
    )
    mixed = (0.25 * cubes[0] + 0.75 * cubes[1]).astype("float32")
    found = to_numpy(ops.look_up_cube(colors, mixed, interpolation))
    np.testing.assert_allclose(found, 0.25 * one + 0.75 * two, atol=1e-6)


def test_red_green_and_blue_are_the_first_second_and_third_axis():
    cube = np.zeros((2, 2, 2, 3), "float32")
    cube[1, 0, 0] = [0.1, 0.2, 0.3]
    cube[0, 1, 0] = [0.4, 0.5, 0.6]
    cube[0, 0, 1] = [0.7, 0.8, 0.9]
    primaries = np.eye(3, dtype="float32")
    expected = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]
    for interpolation in BLENDS:
        found = to_numpy(ops.look_up_cube(primaries, cube, interpolation))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_tetrahedra_keep_grays_gray(rng, cube):
    """Where the diagonal of the cube is gray, whatever else is in it."""
    for i in range(5):
        cube[i, i, i] = (i / 4) ** 2
    grays = np.repeat(rng.uniform(0, 1, (50, 1)), 3, axis=1).astype("float32")
    tetrahedral = to_numpy(ops.look_up_cube(grays, cube, "tetrahedral"))
    assert np.max(np.ptp(tetrahedral, axis=-1)) < 1e-6
    trilinear = to_numpy(ops.look_up_cube(grays, cube))
    assert np.max(np.ptp(trilinear, axis=-1)) > 0.05


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_channels_comes_out(rng, colors, channels):
    cube = rng.uniform(0, 1, (3, 3, 3, channels)).astype("float32")
    for interpolation in BLENDS:
        found = to_numpy(ops.look_up_cube(colors, cube, interpolation))
        assert found.shape == (4, 7, channels)
    curves = rng.uniform(0, 1, (3, channels)).astype("float32")
    gray = rng.uniform(0, 1, (4, 7, channels)).astype("float32")
    np.testing.assert_allclose(
        to_numpy(ops.look_up_curves(gray, curves)),
        reference.curves(gray, curves),
        atol=2e-6,
    )


def test_beyond_the_ends_it_goes_on_straight(curves):
    outside = np.array([[-0.1, 1.1, 2.0]], "float32")
    found = to_numpy(ops.look_up_curves(outside, curves))
    first = 5 * (curves[1] - curves[0])
    last = 5 * (curves[-1] - curves[-2])
    expected = [
        [
            curves[0, 0] - 0.1 * first[0],
            curves[-1, 1] + 0.1 * last[1],
            curves[-1, 2] + 1.0 * last[2],
        ]
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    colors = np.array([[1.5, -0.25, 0.5]], "float32")
    found = to_numpy(ops.look_up_cube(colors, ops.identity_cube(4)))
    np.testing.assert_allclose(found, colors, rtol=1e-6)


def test_not_a_number_and_infinity(cube, curves):
    odd = np.array(
        [
            [np.nan, 0.5, 0.5],
            [0.5, np.nan, 0.5],
            [0.5, 0.5, np.nan],
            [0.5, 0.5, 0.5],
        ],
        "float32",
    )
    for interpolation in BLENDS:
        found = to_numpy(ops.look_up_cube(odd, cube, interpolation))
        assert np.all(np.isnan(found[:3]))
        assert np.all(np.isfinite(found[3]))
    found = to_numpy(ops.look_up_curves(odd, curves))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(odd))

    infinite = np.array([[np.inf, -np.inf, 0.5]], "float32")
    found = to_numpy(ops.look_up_curves(infinite, ops.identity_curves(6)))
    np.testing.assert_array_equal(found, infinite)
    assert not np.any(np.isfinite(to_numpy(ops.look_up_cube(infinite, cube))))


@pytest.mark.parametrize("interpolation", BLENDS)
def test_the_result_is_of_the_type_of_the_colors(cube, interpolation):
    colors = keras.ops.cast(np.full((2, 3), 0.25), "bfloat16")
    found = ops.look_up_cube(colors, cube, interpolation)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"


# Gradients.


@pytest.mark.parametrize("interpolation", BLENDS)
def test_finite_differences_of_the_cube(rng, cube, interpolation):
    colors = inside_cells(rng, 5, 40)
    weights = rng.uniform(-1, 1, colors.shape).astype("float32")

    def total(colors, cube):
        result = ops.look_up_cube(colors, cube, interpolation)
        return keras.ops.sum(keras.ops.multiply(result, weights))

    checks.check_finite_differences(total, colors, cube, step=5e-3)


def test_finite_differences_of_the_curves(rng, curves):
    colors = inside_cells(rng, 6, 40)
    weights = rng.uniform(-1, 1, colors.shape).astype("float32")

    def total(colors, curves):
        result = ops.look_up_curves(colors, curves)
        return keras.ops.sum(keras.ops.multiply(result, weights))

    checks.check_finite_differences(total, colors, curves, step=5e-3)


@pytest.mark.parametrize("interpolation", BLENDS)
def test_the_gradient_of_the_cube_is_the_blending_weights(
    colors, interpolation
):
    """Exact: the output is linear in the cube, so basis cubes tell."""
    small = np.zeros((2, 2, 2, 1), "float32")
    (found,) = checks.gradients(
        lambda cube: keras.ops.sum(
            ops.look_up_cube(colors, cube, interpolation)
        ),
        small,
    )
    assert found.shape == small.shape
    expected = []
    for basis in np.eye(8).reshape(8, 2, 2, 2, 1):
        basis = np.repeat(basis, 3, axis=-1)
        value = REFERENCE[interpolation](colors, basis)
        expected.append(value[..., 0].sum())
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)


def test_slopes_at_the_ends_are_those_of_the_inside(curves):
    """As at a hundredth of a cell further in, on every backend."""
    ends = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], "float32")
    expected = 5 * np.stack([curves[1] - curves[0], curves[-1] - curves[-2]])
    (found,) = checks.gradients(
        lambda x: keras.ops.sum(ops.look_up_curves(clamp(x, 0.0, 1.0), curves)),
        ends,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("interpolation", BLENDS)
def test_slopes_at_the_corners_of_the_cube(cube, interpolation):
    corners = ops.identity_cube(2).reshape(-1, 3)
    # Toward the inside by a little, most along red and least along blue.
    inward = np.where(corners == 0, 1, -1) * np.array([3e-3, 2e-3, 1e-3])
    if interpolation == "tetrahedral":
        # Ties go red, green, blue: white's neighbor in that order.
        inward = np.where(
            corners == 0, [3e-3, 2e-3, 1e-3], [-1e-3, -2e-3, -3e-3]
        )

    def total(x):
        y = ops.look_up_cube(clamp(x, 0.0, 1.0), cube, interpolation)
        return keras.ops.sum(y)

    (at_corners,) = checks.gradients(total, corners)
    (near_them,) = checks.gradients(
        total, (corners + 1e-2 * inward).astype("float32")
    )
    assert np.all(at_corners != 0)
    np.testing.assert_allclose(at_corners, near_them, rtol=2e-2, atol=2e-2)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("in_graph", [False, rarely(True)])
def test_the_gradient_of_a_table_is_dense(colors, cube, curves, in_graph):
    import tensorflow as tf

    table, lines = tf.Variable(cube), tf.Variable(curves)

    def step():
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(
                ops.look_up_cube(colors, table)
                + ops.look_up_cube(colors, table, "tetrahedral")
                + ops.look_up_curves(colors, lines)
            )
        found = tape.gradient(value, [table, lines])
        assert not any(isinstance(g, tf.IndexedSlices) for g in found)
        return found

    found = tf.function(step)() if in_graph else step()
    assert [g.shape for g in found] == [table.shape, lines.shape]


# What does not fit together.


def test_wrong_shapes(colors, cube, curves):
    with pytest.raises(ValueError, match=r"three channels.*\(4, 7, 2\)"):
        ops.look_up_cube(colors[..., :2], cube)
    with pytest.raises(ValueError, match=r"each edge.*\(5, 5, 3\)"):
        ops.look_up_cube(colors, cube[0])
    with pytest.raises(ValueError, match=r"one table for each.*\(3, 5, 5, 5"):
        ops.look_up_cube(colors, np.stack([cube] * 3))
    with pytest.raises(ValueError, match=r"one table for each.*\(4, 6, 3\)"):
        ops.look_up_curves(colors[0, 0], np.stack([curves] * 4))
    with pytest.raises(ValueError, match=r"at least two.*\(1, 1, 1, 3\)"):
        ops.look_up_cube(colors, cube[:1, :1, :1])
    with pytest.raises(ValueError, match=r"\(size, channels\).*\(1, 3\)"):
        ops.look_up_curves(colors, curves[:1])
    with pytest.raises(ValueError, match=r"has 3 curves.*\(4, 7, 2\)"):
        ops.look_up_curves(colors[..., :2], curves)
    with pytest.raises(ValueError, match=r"`size`.*Received: size=1"):
        ops.identity_cube(1)


@pytest.mark.parametrize(
    ("batch", "tables", "fits"),
    [
        (2, 2, True),
        (None, 2, True),
        (2, None, True),
        (None, None, True),
        (2, 3, False),
        (3, 2, False),
        (0, 2, False),
    ],
)
def test_as_many_tables_as_images_where_both_are_known(batch, tables, fits):
    colors = types.SimpleNamespace(shape=(batch, 4, 3))
    allowed = contextlib.nullcontext()
    refused = pytest.raises(ValueError, match="one table for each image")
    with allowed if fits else refused:
        color_lookup._check_one_for_each("ask", colors, (tables, 5, 3))


def test_a_single_color_has_no_table_of_its_own():
    with pytest.raises(ValueError, match="tables of shape \\(3, 5, 3\\)"):
        ops.look_up_curves(np.zeros(3, "float32"), np.zeros((3, 5, 3)))


def test_unknown_interpolation(colors, cube):
    with pytest.raises(
        ValueError,
        match=r"interpolation.*\['linear', 'tetrahedral', 'nearest'\].*'cubic'",
    ):
        ops.look_up_cube(colors, cube, "cubic")
    with pytest.raises(
        ValueError, match=r"look_up_curves.*\['linear', 'nearest'\].*'cubic'"
    ):
        ops.look_up_curves(colors, cube[0, 0], "cubic")


def test_curves_of_each_of_no_image():
    colors = keras.ops.zeros((0, 4, 5, 3))
    found = ops.look_up_curves(colors, keras.ops.zeros((0, 7, 3)))
    assert found.shape == (0, 4, 5, 3)
