"""Each function in both forms: as the backend has it, and the default.

Only a default that another one replaces can tell that it is right on every
backend; what a backend alone can do is tested in the file of its name.
"""

import checks
import keras
import numpy as np
import pytest
import scipy.ndimage
from reference import color_lookup as reference

from keras_perceptual import _backend
from keras_perceptual._backend import defaults
from keras_perceptual.ops.ssim import gaussian_window
from keras_perceptual.ops.table_places import CubePlaces

TWINS = {
    "linear": reference.trilinear,
    "tetrahedral": reference.tetrahedral,
}


@pytest.fixture(params=["picked", "default"])
def functions(request):
    return _backend if request.param == "picked" else defaults


def small_model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def test_arrays_and_eager_tensors_have_values(functions):
    has_values = functions.has_values
    assert has_values(np.zeros(2))
    assert has_values([1.0, 2.0])
    assert has_values(keras.ops.zeros(2))


def test_traced_tensors_have_none(functions):
    has_values = functions.has_values
    seen = []

    def look(x):
        seen.append(has_values(x))
        return x

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.function(look)(tf.zeros(2))
    elif keras.backend.backend() == "jax":
        import jax

        jax.jit(look)(keras.ops.zeros(2))
    else:
        import torch

        look(torch.zeros(2, device="meta"))
    assert seen == [False]


def test_clamp_has_the_slope_of_the_inside_at_the_ends(functions):
    x = np.float32([-1.0, 0.0, 0.25, 1.0, 2.0])
    clamp = functions.clamp
    found = clamp(keras.ops.convert_to_tensor(x), 0.0, 1.0)
    assert keras.ops.convert_to_numpy(found).tolist() == [0, 0, 0.25, 1, 1]
    (slope,) = checks.gradients(lambda x: keras.ops.sum(clamp(x, 0.0, 1.0)), x)
    assert slope.tolist() == [0, 1, 1, 1, 0]


def test_choose_takes_numbers_and_tensors(functions):
    choose = functions.choose
    condition = keras.ops.convert_to_tensor([True, False])
    for yes, no, dtype in ((0.1, [0.3, 0.7], "float32"), (5, [1, 2], "int32")):
        found = choose(condition, yes, keras.ops.convert_to_tensor(no, dtype))
        assert keras.backend.standardize_dtype(found.dtype) == dtype
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(found), np.array([yes, no[1]], dtype)
        )
    found = choose(condition, 5, 7)
    assert keras.ops.convert_to_numpy(found).tolist() == [5, 7]


def test_take_reads_numbers_and_rows_and_gives_their_gradient(functions):
    take = functions.take
    index = np.int32([[2, 0, 2], [1, 2, 1]])
    for table in (np.float32([1, 2, 3]), np.float32([[1, 2], [3, 4], [5, 6]])):
        found = take(
            keras.ops.convert_to_tensor(table),
            keras.ops.convert_to_tensor(index),
        )
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(found), table[index]
        )
        (slope,) = checks.gradients(
            lambda table: keras.ops.sum(
                take(table, keras.ops.convert_to_tensor(index))
            ),
            table,
        )
        times = np.float32([1, 2, 3]).reshape(3, *(1 for _ in table.shape[1:]))
        np.testing.assert_array_equal(
            slope, np.broadcast_to(times, table.shape)
        )


def read(functions, points, tables, interpolation, size=4):
    return functions.read_blended(
        CubePlaces((size,) * 3, interpolation),
        keras.ops.convert_to_tensor(points),
        keras.ops.convert_to_tensor(tables),
    )


@pytest.mark.parametrize("interpolation", TWINS)
@pytest.mark.parametrize("count", [1, 7, 70_001])
def test_blocks_of_points_are_one_read(functions, rng, interpolation, count):
    """Also where the last block is not full."""
    points = rng.uniform(0, 1, (1, count, 3)).astype("float32")
    table = rng.uniform(0, 1, (4, 4, 4, 3)).astype("float32")
    upstream = rng.uniform(-1, 1, points.shape).astype("float32")
    rows = table.reshape(1, 64, 3)
    found = keras.ops.convert_to_numpy(
        read(functions, points, rows, interpolation)
    )
    np.testing.assert_allclose(
        found, TWINS[interpolation](points, table), atol=2e-6
    )

    def total(points, rows):
        return keras.ops.sum(
            keras.ops.multiply(
                read(functions, points, rows, interpolation), upstream
            )
        )

    of_points, of_rows = checks.gradients(total, points, rows)
    picked = np.unique(np.linspace(0, count - 1, 5, dtype=int))
    few, _ = checks.gradients(
        lambda points, rows: keras.ops.sum(
            keras.ops.multiply(
                read(functions, points, rows, interpolation),
                upstream[:, picked],
            )
        ),
        points[:, picked],
        rows,
    )
    np.testing.assert_allclose(of_points[:, picked], few, atol=1e-5)
    # The sum is linear in the table, so that a change of it tells.
    change = rng.uniform(-1, 1, rows.shape)
    expected = np.sum(
        TWINS[interpolation](points, change.reshape(table.shape)) * upstream
    )
    scale = np.sqrt(count)
    np.testing.assert_allclose(
        np.sum(of_rows * change) / scale, expected / scale, atol=1e-4
    )


@pytest.mark.parametrize("interpolation", TWINS)
def test_gradients_of_gradients(functions, rng, interpolation):
    """As a penalty on gradients has them; by finite differences."""
    points = np.float32([[[0.1, 0.15, 0.22], [0.6, 0.9, 0.75]]])
    rows = rng.uniform(0, 1, (1, 64, 3)).astype("float32")

    def energy(points, rows):
        y = read(functions, points, rows, interpolation)
        return keras.ops.sum(y * y * y)

    def slopes(points, rows):
        return np.concatenate(
            [x.ravel() for x in checks.gradients(energy, points, rows)]
        )

    def square_of_slopes(points, rows):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch([points, rows])
                value = energy(points, rows)
            found = tape.gradient(value, [points, rows])
        elif keras.backend.backend() == "jax":
            import jax

            found = jax.grad(energy, argnums=(0, 1))(points, rows)
        else:
            import torch

            found = torch.autograd.grad(
                energy(points, rows), [points, rows], create_graph=True
            )
        return sum(keras.ops.sum(keras.ops.square(x)) for x in found)

    of_points, of_rows = checks.gradients(square_of_slopes, points, rows)
    for wanted, at, step in ((of_points, 0, 2e-3), (of_rows, 1, 1e-2)):
        change = rng.uniform(-1, 1, wanted.shape).astype("float32")
        ends = []
        for sign in (1, -1):
            moved = [points, rows]
            moved[at] = moved[at] + sign * step * change
            ends.append(np.sum(slopes(*moved).astype("float64") ** 2))
        np.testing.assert_allclose(
            np.sum(wanted * change), (ends[0] - ends[1]) / (2 * step), rtol=2e-2
        )


def test_half_precision(functions, rng):
    points = rng.uniform(0, 1, (1, 5, 3))
    table = rng.uniform(0, 1, (1, 64, 3))
    found = read(
        functions,
        keras.ops.cast(points, "bfloat16"),
        keras.ops.cast(table, "bfloat16"),
        "linear",
    )
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"


@pytest.mark.parametrize("batch", [1, 2])
def test_colors_of_any_shape_are_read(functions, rng, batch):
    colors = rng.uniform(0, 1, (batch, 2, 3, 3)).astype("float32")
    tables = rng.uniform(0, 1, (batch, 64, 5)).astype("float32")
    found = keras.ops.convert_to_numpy(
        read(functions, colors, tables, "linear")
    )
    expected = [
        reference.trilinear(color, table[:, 2:].reshape(4, 4, 4, 3))
        for color, table in zip(colors, tables, strict=True)
    ]
    assert found.shape == (*colors.shape[:-1], 5)
    np.testing.assert_allclose(found[..., 2:], expected, atol=2e-6)


@pytest.fixture
def matrices(rng):
    return [rng.uniform(-1, 1, (3, 4)).astype("float32") for _ in range(2)]


def apply(functions, matrices, x):
    """Multiplies by two matrices: one tensor in, two out."""
    first, second = (keras.ops.convert_to_tensor(m) for m in matrices)

    def forward(x):
        return keras.ops.matmul(first, x), keras.ops.matmul(second, x)

    def transpose(y, z):
        first_back = keras.ops.matmul(keras.ops.transpose(first), y)
        second_back = keras.ops.matmul(keras.ops.transpose(second), z)
        return (first_back + second_back,)

    return functions.apply_linear(forward, transpose, x)


def test_value_of_a_linear_map(functions, rng, matrices):
    x = rng.uniform(-1, 1, (4, 2)).astype("float32")
    found = apply(functions, matrices, keras.ops.convert_to_tensor(x))
    assert isinstance(found, tuple)
    for y, matrix in zip(found, matrices, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(y), matrix @ x, rtol=1e-5, atol=1e-6
        )


def test_gradient_of_a_linear_map(functions, rng, matrices):
    x = rng.uniform(-1, 1, (4, 2)).astype("float32")

    def energy(x):
        y, z = apply(functions, matrices, x)
        return keras.ops.sum(y * y) + keras.ops.sum(z * z * z)

    (found,) = checks.gradients(energy, x)
    first, second = matrices
    expected = first.T @ (2 * first @ x) + second.T @ (3 * (second @ x) ** 2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_gradient_where_one_result_is_not_used(functions, rng, matrices):
    x = rng.uniform(-1, 1, (4, 2)).astype("float32")
    (found,) = checks.gradients(
        lambda x: keras.ops.sum(apply(functions, matrices, x)[1]), x
    )
    expected = matrices[1].T @ np.ones((3, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_filter_is_the_correlation_of_scipy(functions, rng):
    x = rng.normal(size=(2, 9, 12, 3)).astype("float32")
    window = gaussian_window(4, 1.0) * [1, 2, 3, 4]
    expected = x
    for axis in (1, 2):
        expected = scipy.ndimage.correlate1d(
            expected, window, axis, mode="constant", origin=-2
        )
    found = functions.filter_images(keras.ops.convert_to_tensor(x), window)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), expected[:, :-3, :-3], atol=1e-5
    )


@pytest.mark.parametrize("axis", [1, 2])
def test_filters_along_an_axis_are_correlations_of_numpy(functions, axis, rng):
    x = rng.normal(size=(2, 7, 6, 3)).astype("float32")
    windows = rng.normal(size=(4, 2))
    found = functions.filter_axis(keras.ops.convert_to_tensor(x), windows, axis)
    for values, window in zip(found, windows.T, strict=True):
        expected = np.apply_along_axis(np.correlate, axis, x, window, "valid")
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(values), expected, atol=1e-5
        )


@pytest.mark.parametrize("strides", [1, 2, (2, 1)])
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 2)])
def test_hann_blur_is_the_blur_of_scipy(functions, size, strides, rng):
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    expected = x
    for axis in (1, 2):
        expected = scipy.ndimage.convolve1d(
            expected, [0.25, 0.5, 0.25], axis, mode="constant"
        )
    rows, columns = strides if isinstance(strides, tuple) else [strides] * 2
    found = functions.hann_blur(
        keras.ops.convert_to_tensor(x), strides, "channels_last"
    )
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found),
        expected[:, ::rows, ::columns],
        atol=1e-6,
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"padding": "same", "activation": "relu"},
        {"padding": "valid", "strides": (2, 1)},
        {"padding": "same", "strides": 2},
        {"padding": "same", "dilation_rate": (1, 2)},
        {"padding": "same", "kernel_size": (2, 5)},
        {"padding": "valid", "groups": 3},
        {"padding": "same", "use_bias": False},
    ],
    ids=str,
)
def test_a_bias_added_in_the_same_pass_changes_no_number(
    functions, arguments, data_format
):
    if data_format == "channels_first" and (
        keras.backend.backend() == "tensorflow"
    ):
        pytest.skip("TensorFlow has no such convolutions on the CPU")
    shape = (9, 8, 3) if data_format == "channels_last" else (3, 9, 8)
    network = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(
                6,
                **{"kernel_size": 3, **arguments},
                bias_initializer="normal",
                data_format=data_format,
            ),
        ]
    )
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    expected = keras.ops.convert_to_numpy(network(x))
    weights = network.get_weights()
    functions.frozen_call(network)
    found = keras.ops.convert_to_numpy(network(x))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for before, after in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_pooling_changes_no_number(functions, padding, data_format):
    if data_format == "channels_first" and (
        keras.backend.backend() == "tensorflow"
    ):
        pytest.skip("TensorFlow has no such pooling on the CPU")
    shape = (9, 8, 3) if data_format == "channels_last" else (3, 9, 8)
    pooling = keras.layers.MaxPooling2D(
        (3, 2), (2, 1), padding, data_format=data_format
    )
    network = keras.Sequential([keras.Input(shape), pooling])
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    expected = keras.ops.convert_to_numpy(network(x))
    functions.frozen_call(network)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(network(x)), expected
    )


def scaled_square(scale, x):
    return scale * x * x


def test_the_function_stays_what_it_is(functions, rng):
    x = rng.uniform(size=(3, 2)).astype("float32")
    found = functions.compile_in_graph(scaled_square, 2.0)(
        keras.ops.convert_to_tensor(x)
    )
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), 2 * x * x, rtol=1e-6
    )


@pytest.mark.parametrize(
    "shape, axes", [((2, 5, 8, 3), (1, 2)), ((2, 3, 4, 7), (2, 3))], ids=str
)
def test_images_of_half_the_size(functions, rng, shape, axes):
    """An odd row is kept where every second is taken, and is in no mean."""
    x = rng.uniform(size=shape).astype("float32")
    y = np.moveaxis(x, axes, (0, 1))
    even = [side - side % 2 for side in y.shape[:2]]
    means = y[: even[0], : even[1]]
    means = (means[::2] + means[1::2]) / 2
    expected = {
        functions.take_every_second: y[::2, ::2],
        functions.halve: (means[:, ::2] + means[:, 1::2]) / 2,
    }
    for function, wanted in expected.items():
        found = keras.ops.convert_to_numpy(function(x, axes))
        found = np.moveaxis(found, axes, (0, 1))
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
        # Linear: with the gradient g, f(x) is g times x, and so is f(g).
        (slope,) = checks.gradients(
            lambda x, f=function: keras.ops.sum(f(x, axes)), x
        )
        np.testing.assert_allclose((slope * x).sum(), wanted.sum(), rtol=1e-5)


def test_a_function_of_the_package_is_called_as_it_is(functions):
    assert functions.as_written(scaled_square)(2.0, 3.0) == 18.0


def fibonacci(functions, count):
    """Returns two neighboring numbers, and the sum of the indices."""

    def turn(index, state):
        (x, y), total = state
        return (y, x + y), total + keras.ops.cast(index, "float32")

    one = keras.ops.ones(())
    return functions.fold(turn, count, ((one, one), keras.ops.zeros(())))


@pytest.mark.parametrize("count", [0, 1, 10])
def test_one_turn_after_the_other(functions, count):
    expected = [1, 1]
    for _ in range(count):
        expected = [expected[1], sum(expected)]
    (x, y), total = fibonacci(functions, count)
    assert [float(x), float(y)] == expected
    assert float(total) == sum(range(count))


@pytest.mark.tensorflow_only
def test_a_number_of_turns_that_is_not_known_while_tracing(functions):
    import tensorflow as tf

    traced = tf.function(
        lambda n: fibonacci(functions, n)[0][0],
        input_signature=[tf.TensorSpec((), "int32")],
    )
    np.testing.assert_array_equal(
        [traced(n) for n in range(5)], [1, 1, 2, 3, 5]
    )


def test_calls_with_the_values_where_the_condition_holds(functions):
    seen = []
    for top in (0.5, 2.0):
        x = keras.ops.convert_to_tensor([0.0, top])
        functions.call_when(
            keras.ops.max(x) > 1, lambda v: seen.append(v.tolist()), x, {}
        )
    assert seen == [[0.0, 2.0]]


def test_watched_copies_change_neither_values_nor_gradients(functions, rng):
    """What is told is checked where a backend tells: in test_overrides.py."""
    x = rng.normal(size=(2, 3)).astype("float32")

    def weighed(copies):
        sums = [keras.ops.sum(copy**2) for copy in copies]
        return sums[0] + 3 * sums[1], sums

    def total(x):
        return functions.watch_gradients(weighed, x, 2, lambda found: None)[0]

    assert float(total(keras.ops.array(x))) == pytest.approx(
        4 * np.sum(x**2), rel=1e-5
    )
    (found,) = checks.gradients(total, x)
    np.testing.assert_allclose(found, 8 * x, rtol=1e-5)


def test_there_is_one_device_and_nothing_to_add_up(functions):
    assert functions.replica_count() == 1
    assert functions.replica_total(keras.ops.ones(2)) is None
    assert functions.is_everywhere(keras.Variable(0.0))


def test_one_process_is_the_chief(functions):
    assert functions.is_chief(small_model())


def test_looking_is_over_when_it_fails(functions):
    with pytest.raises(RuntimeError), functions.looking(small_model()):
        raise RuntimeError
