import checks
import keras
import numpy as np
import pytest
from reference import color_lookup as reference
from sampling import rarely, sample

from keras_perceptual import GradientSanityCallback, GradientSanityError
from keras_perceptual.io import (
    ColorTable,
    apply_table,
    read_cube,
    read_table,
    write_table,
)
from keras_perceptual.layers import LookupColorLayer

KINDS = [
    {"dimensions": 1},
    {"dimensions": 3},
    {"dimensions": 3, "interpolation": "tetrahedral"},
]
RANGES = [(0, 1), (-1, 1), (0, 255), (16, 235)]
REFERENCE = {
    (1, "linear"): reference.curves,
    (3, "linear"): reference.trilinear,
    (3, "tetrahedral"): reference.tetrahedral,
}


def label(config):
    return "-".join(str(value) for value in config.values())


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def some_table(layer, seed=1):
    return np.random.default_rng(seed).uniform(0, 1, layer.table_shape)


def filled(**arguments):
    """A layer with a table of noise."""
    layer = LookupColorLayer(**{"size": 5, **arguments})
    layer.set_table(some_table(layer))
    return layer


def functional(layer, table, x):
    """Returns what the layer makes of `x` with another table."""
    result, _ = layer.stateless_call([table], [], x)
    return result


@pytest.fixture
def images(rng):
    return rng.uniform(0, 1, (2, 4, 6, 3)).astype("float32")


# Values.


@pytest.mark.parametrize("kind", KINDS, ids=label)
@pytest.mark.parametrize("value_range", RANGES, ids=str)
@pytest.mark.parametrize("size", [2, 33])
def test_starts_as_the_identity(images, kind, value_range, size):
    low, high = value_range
    images = (images * (high - low) + low).astype("float32")
    images[0, 0, 0], images[0, 0, 1] = low, high
    layer = LookupColorLayer(size, **kind, value_range=value_range)
    np.testing.assert_allclose(
        to_numpy(layer(images)), images, atol=4e-7 * max(abs(low), abs(high))
    )
    table = to_numpy(layer.table)
    assert table.shape == layer.table_shape
    assert (table.min(), table.max()) == (0, 1)


@pytest.mark.parametrize("kind", KINDS, ids=label)
@pytest.mark.parametrize("value_range", RANGES, ids=str)
def test_equals_the_numpy_twin(images, kind, value_range):
    low, high = value_range
    layer = filled(**kind, value_range=value_range)
    expected = REFERENCE[layer.dimensions, layer.interpolation](
        images, some_table(layer)
    )
    found = to_numpy(layer((images * (high - low) + low).astype("float32")))
    np.testing.assert_allclose(
        (found - low) / (high - low), expected, atol=5e-6
    )


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_channels_first(images, kind):
    last = to_numpy(filled(**kind)(images))
    layer = filled(**kind, data_format="channels_first")
    first = to_numpy(layer(np.moveaxis(images, -1, 1)))
    np.testing.assert_allclose(np.moveaxis(first, 1, -1), last, atol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (7, 3), (5, 6, 3), (2, 2, 3, 4, 3)])
@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_any_number_of_axes(rng, shape, kind):
    images = rng.uniform(0, 1, shape).astype("float32")
    layer = filled(**kind)
    expected = REFERENCE[layer.dimensions, layer.interpolation](
        images, some_table(layer)
    )
    found = to_numpy(layer(images))
    assert found.shape == layer.compute_output_shape(shape) == shape
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_outside_the_range_clamp_gives_the_ends(kind):
    layer = filled(**kind, value_range=(0, 255), check_range="off")
    outside = np.array([[-9, 300, -np.inf], [np.inf, 256, 128]], "float32")
    inside = np.array([[0, 255, 0], [255, 255, 128]], "float32")
    np.testing.assert_array_equal(
        to_numpy(layer(outside)), to_numpy(layer(inside))
    )


@pytest.mark.parametrize("kind", KINDS[:2], ids=label)
@pytest.mark.parametrize("value_range", RANGES, ids=str)
def test_outside_the_range_linear_goes_on(kind, value_range):
    low, high = value_range
    width = high - low
    outside = np.array([[-0.5, 1.25, 2.0], [0.5, 0.25, 7.0]]) * width + low
    outside = outside.astype("float32")
    layer = LookupColorLayer(
        5, **kind, extrapolate="linear", value_range=value_range
    )
    np.testing.assert_allclose(
        to_numpy(layer(outside)), outside, rtol=1e-5, atol=1e-6 * width
    )


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_not_a_number_stays_not_a_number(images, kind):
    images[1, 2, 3, 1] = np.nan
    found = to_numpy(filled(**kind)(images))
    expected = np.zeros(images.shape, bool)
    expected[1, 2, 3, 1 if kind["dimensions"] == 1 else slice(None)] = True
    np.testing.assert_array_equal(np.isnan(found), expected)


@pytest.mark.parametrize("extrapolate", ["clamp", "linear"])
def test_odd_values_read_no_entry_outside_the_table(extrapolate):
    """A table of one color, so that any other is from elsewhere."""
    for kind in KINDS[:2]:
        layer = LookupColorLayer(3, **kind, extrapolate=extrapolate)
        layer.set_table(np.full(layer.table_shape, 0.25))
        values = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30], "float32")
        found = to_numpy(layer(np.stack([values] * 3, axis=-1)))
        finite = found[np.isfinite(found)]
        assert np.all(finite == 0.25)
        assert len(finite) == (12 if extrapolate == "clamp" else 6)


def test_integer_images(rng):
    images = rng.integers(0, 256, (2, 4, 4, 3)).astype("uint8")
    layer = filled(value_range=(0, 255))
    found = layer(images)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_array_equal(
        to_numpy(found), to_numpy(layer(images.astype("float32")))
    )


@pytest.mark.parametrize("kind", KINDS, ids=label)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(images, kind, policy):
    half = policy.removeprefix("mixed_")
    rounded = to_numpy(keras.ops.cast(keras.ops.cast(images, half), "float32"))
    exact = to_numpy(filled(**kind, size=33)(rounded))
    layer = filled(**kind, size=33, dtype=policy)
    assert layer.table.dtype == "float32"
    found = layer(images)
    assert keras.backend.standardize_dtype(found.dtype) == half
    # Exact but for the rounding of the output.
    np.testing.assert_allclose(
        to_numpy(keras.ops.cast(found, "float32")),
        to_numpy(keras.ops.cast(keras.ops.cast(exact, half), "float32")),
        rtol=1e-2 if half == "bfloat16" else 1e-3,
        atol=1e-6,
    )


@pytest.mark.tensorflow_only
def test_float64(images):
    layer = filled(dtype="float64")
    found = to_numpy(layer(images.astype("float64")))
    assert found.dtype == "float64"
    expected = reference.trilinear(images.astype("float64"), some_table(layer))
    np.testing.assert_allclose(found, expected, atol=1e-14)
    # So are the ends of a range that float32 has no numbers for.
    layer = filled(dtype="float64", value_range=(0.1, 0.7))
    found = to_numpy(layer(0.1 + 0.6 * images.astype("float64")))
    np.testing.assert_allclose(found, 0.1 + 0.6 * expected, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_ends_of_a_range_are_those_of_the_colors(dtype):
    """As in single precision, in which they are looked up."""
    reading = filled(dtype=dtype, value_range=(0.1, 0.7))._reading()
    assert reading.value_range == (float(np.float32(0.1)), np.float32(0.7))


# Gradients.


@pytest.mark.parametrize("kind", KINDS, ids=label)
@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1)], ids=str)
def test_finite_differences_of_image_and_table(rng, kind, value_range):
    low, high = value_range
    layer = filled(**kind, value_range=value_range)
    # Well inside the cells and off the planes between tetrahedra.
    place = rng.permuted(np.tile([0.2, 0.5, 0.8], (30, 1)), axis=1)
    colors = (rng.integers(0, 4, (30, 3)) + place) / 4
    images = (colors * (high - low) + low).astype("float32")
    weights = rng.uniform(-1, 1, images.shape).astype("float32")

    def total(images, table):
        return keras.ops.sum(
            keras.ops.multiply(functional(layer, table, images), weights)
        )

    checks.check_finite_differences(
        total, images, some_table(layer).astype("float32"), step=5e-3
    )


@pytest.mark.parametrize("kind", KINDS, ids=label)
@pytest.mark.parametrize(
    "value_range", [*RANGES, (0.1, 0.7), (-0.3, 1.9)], ids=str
)
def test_slopes_at_the_ends_and_outside(kind, value_range):
    """Red, green and blue alike: one slope for grays, that of the diagonal."""
    low, high = np.float32(value_range)
    ramp = np.array([0.0, 0.1, 0.5, 0.4, 1.0])  # slopes 0.4, ..., 2.4
    layer = LookupColorLayer(5, **kind, value_range=value_range)
    table = np.zeros(layer.table_shape)
    for c in range(3):
        shape = [1] * layer.dimensions
        shape[c if layer.dimensions == 3 else 0] = 5
        table[..., c] = ramp.reshape(shape)
    layer.set_table(table)
    step = (high - low) / 100
    values = np.array(
        [low - step, low, low + step, high - step, high, high + step],
        "float32",
    )
    grays = np.stack([values] * 3, axis=-1)
    (found,) = checks.gradients(lambda x: keras.ops.sum(layer(x)), grays)
    expected = np.array([0.0, 0.4, 0.4, 2.4, 2.4, 0.0])
    np.testing.assert_allclose(
        found, np.stack([expected] * 3, axis=-1), rtol=1e-4
    )


@pytest.mark.parametrize("kind", KINDS[:2], ids=label)
def test_slopes_outside_with_linear_extrapolation(kind):
    layer = filled(**kind, extrapolate="linear")
    ends = np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]], "float32")
    beyond = np.array([[-0.5, 1.0, 0.0], [1.0, 3.0, 1.0]], "float32")
    at_ends, farther = (
        checks.gradients(lambda x: keras.ops.sum(layer(x)), x)[0]
        for x in (ends, beyond)
    )
    # Along the axis that was moved, the slope is still that of the end.
    np.testing.assert_allclose(farther[0, 0], at_ends[0, 0], rtol=1e-5)
    np.testing.assert_allclose(farther[1, 1], at_ends[1, 1], rtol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("run_eagerly", [rarely(True), False])
@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_the_first_step_of_adam_is_the_dense_one(images, kind, run_eagerly):
    """Adam treats repeated rows of a sparse gradient in another way."""
    import tensorflow as tf

    seen = []

    class Recorder(keras.optimizers.Adam):
        def apply(self, grads, trainable_variables=None):
            seen.extend(grads)
            return super().apply(grads, trainable_variables)

    model = keras.Sequential([keras.Input((4, 6, 3)), filled(**kind)])
    (table,) = model.trainable_variables
    target = np.zeros_like(images)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(images) - target))
    dense = tf.convert_to_tensor(tape.gradient(loss, table.value))
    expected = keras.Variable(to_numpy(table))
    keras.optimizers.Adam(0.01).apply([dense], [expected])

    model.compile(Recorder(0.01), loss="mse", run_eagerly=run_eagerly)
    model.train_on_batch(images, target)
    assert seen
    assert not any(isinstance(g, tf.IndexedSlices) for g in seen)
    np.testing.assert_allclose(to_numpy(table), to_numpy(expected), atol=1e-5)


# Configuration.


def test_config_keeps_every_argument():
    layer = LookupColorLayer(
        9,
        1,
        interpolation="linear",
        value_range=(-1, 1),
        extrapolate="linear",
        table_initializer=keras.initializers.Constant(0.5),
        table_regularizer=keras.regularizers.L2(0.125),
        table_constraint=keras.constraints.NonNeg(),
        data_format="channels_first",
        name="grade",
        dtype="mixed_bfloat16",
        trainable=False,
    )
    revived = checks.check_config(layer)
    assert revived.table_regularizer.l2 == 0.125
    revived.build((None, 3, None, None))
    np.testing.assert_array_equal(to_numpy(revived.table), 0.5)
    assert revived.trainable_weights == []
    assert isinstance(revived.table.constraint, keras.constraints.NonNeg)


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_default_config(kind):
    revived = checks.check_config(LookupColorLayer(4, **kind))
    assert revived.table_initializer == "identity"


def test_regularizer_and_constraint_act(images):
    layer = LookupColorLayer(
        3,
        1,
        table_initializer="ones",
        table_regularizer="l2",
        table_constraint=keras.constraints.MaxNorm(0.5, axis=0),
    )
    model = keras.Sequential([keras.Input((4, 6, 3)), layer])
    np.testing.assert_allclose(to_numpy(model.losses[0]), 0.01 * 9, rtol=1e-5)
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    model.fit(images, images, verbose=0)
    norms = np.linalg.norm(to_numpy(layer.table), axis=0)
    np.testing.assert_allclose(norms, 0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 1}, r"`size`.*at least 2 and at most 256. Received: size=1"),
        ({"size": 2.5}, r"`size`.*Received: size=2.5"),
        ({"dimensions": 2}, r"`dimensions`.*\[1, 3\].*dimensions=2"),
        (
            {"interpolation": "cubic"},
            r"dimensions=3.*\['linear', 'tetrahedral', 'nearest'\].*'cubic'",
        ),
        (
            {"dimensions": 1, "interpolation": "tetrahedral"},
            r"dimensions=1.*\['linear', 'nearest'\].*'tetrahedral'",
        ),
        ({"extrapolate": "wrap"}, r"`extrapolate`.*\['clamp', 'linear'\]"),
        (
            {"interpolation": "tetrahedral", "extrapolate": "linear"},
            r"go on beyond.*Received: interpolation='tetrahedral'",
        ),
        (
            {"interpolation": "nearest", "extrapolate": "linear"},
            r"go on beyond.*Received: interpolation='nearest'",
        ),
        ({"size": (3, 4)}, r"`size`.*Received: size=\(3, 4\)"),
        ({"size": (3, 4, 1)}, r"`size`.*Received: size=1"),
        ({"size": (3, 4, 5), "dimensions": 1}, r"`size`.*\(3, 4, 5\)"),
        ({"shared": True}, r"dimensions=1.*shared=True, dimensions=3"),
        ({"value_range": (1, 0)}, r"`value_range`.*Received"),
        ({"data_format": "nhwc"}, r"`data_format`.*Received"),
        (
            {"table_initializer": np.zeros((33, 33, 33, 3))},
            r"no array.*`set_table`.*ndarray",
        ),
    ],
    ids=str,
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LookupColorLayer(**arguments)


def test_a_mask_is_that_of_the_images(images):
    layer = LookupColorLayer(4)
    mask = np.ones((2, 6), bool)
    assert layer.compute_mask(images, mask) is mask
    assert layer.compute_mask([images, None], [mask, None]) is mask
    assert layer.compute_mask(images, None) is None


def test_set_table():
    layer = LookupColorLayer(4)
    table = some_table(layer)
    layer.set_table(table)
    np.testing.assert_array_equal(to_numpy(layer.table), table.astype("f4"))
    layer.set_table(keras.ops.zeros(layer.table_shape))
    assert not np.any(to_numpy(layer.table))
    curves = LookupColorLayer(4, 1, data_format="channels_first")
    curves.set_table(np.ones((4, 3)))
    assert curves.built


# In a model.


@pytest.mark.parametrize("kind", sample(KINDS, 2), ids=label)
@pytest.mark.parametrize("jit_compile", [False, rarely(True)])
def test_learns_a_grade_saves_and_loads(tmp_path, rng, kind, jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("needs a C++ compiler on PyTorch")
    images = rng.uniform(0, 1, (8, 12, 12, 3)).astype("float32")
    graded = images**2
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            LookupColorLayer(5, **kind, name="grade"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.02), loss="mse", jit_compile=jit_compile
    )
    before = model.evaluate(images, graded, verbose=0)
    model.fit(images, graded, epochs=20, batch_size=4, verbose=0)
    after = model.evaluate(images, graded, verbose=0)
    assert after < before / 20

    path = tmp_path / "graded.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    assert type(loaded.get_layer("grade")) is LookupColorLayer

    model.save_weights(tmp_path / "graded.weights.h5")
    fresh = keras.models.clone_model(model)
    fresh.load_weights(tmp_path / "graded.weights.h5")
    np.testing.assert_array_equal(
        to_numpy(fresh.get_layer("grade").table),
        to_numpy(model.get_layer("grade").table),
    )


def blending_weights(layer, images):
    """Returns how much each entry counts for each color, from the twins.

    Shaped `(..., entries)`, or with curves `(..., 3, entries)`.
    """
    count = layer.size**layer.dimensions
    each = []
    for basis in np.eye(count):
        if layer.dimensions == 1:
            table = np.repeat(basis[:, None], 3, axis=1)
            each.append(
                reference.nearest_on_curves(images, table)
                if layer.interpolation == "nearest"
                else reference.curves(images, table)
            )
            continue
        table = np.repeat(basis.reshape((layer.size,) * 3 + (1,)), 3, axis=-1)
        twin = {
            "linear": reference.trilinear,
            "tetrahedral": reference.tetrahedral,
            "nearest": reference.nearest,
        }[layer.interpolation]
        each.append(twin(images, table)[..., 0])
    return np.stack(each, axis=-1).astype("float32")


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.05),
    "adamw": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.02, momentum=0.5),
    "sgd": lambda: keras.optimizers.SGD(2.0, momentum=0.9, clipnorm=0.01),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [
        *sample([(name, KINDS[1]) for name in OPTIMIZERS]),
        ("adam", KINDS[0]),
        rarely(("adam", KINDS[2])),
        rarely(("adam", {"dimensions": 1, "interpolation": "nearest"})),
        rarely(("adam", {"dimensions": 3, "interpolation": "nearest"})),
    ],
)
def test_trains_as_a_matrix_product_does(rng, optimizer, kind):
    """The same look-up as a product of all entries with their weights.

    Each batch is of other colors, so that optimizers differ which treat an
    entry that was not read, or read more than once, in a way of its own.
    """
    layer = LookupColorLayer(3, **kind)
    curves = layer.dimensions == 1
    product = keras.layers.EinsumDense(
        "bpce,ec->bpc" if curves else "bpe,ec->bpc", output_shape=(None, 3)
    )
    inputs = [
        keras.Input((30, 3)),
        keras.Input((30, 3, 3) if curves else (30, 27)),
    ]
    model = keras.Model(inputs, [layer(inputs[0]), product(inputs[1])])
    table = some_table(layer).astype("float32")
    layer.set_table(table)
    product.set_weights([table.reshape(-1, 3)])
    model.compile(OPTIMIZERS[optimizer](), ["mse", "mse"])
    for low in (0.0, 0.5, 0.25, 0.0):
        colors = rng.uniform(low, low + 0.5, (2, 30, 3)).astype("float32")
        colors[:, :10] = colors[0, 0]
        model.train_on_batch(
            [colors, blending_weights(layer, colors)], [colors, colors]
        )
        found, expected = (part.get_weights()[0] for part in (layer, product))
        assert np.any(found != table)
        np.testing.assert_allclose(
            found.reshape(expected.shape), expected, atol=2e-5
        )


@pytest.mark.slow
def test_the_gradient_reaches_the_layers_before(images):
    inputs = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(3, 1, activation="sigmoid", name="before")(x)
    outputs = LookupColorLayer(9)(x)
    assert outputs.shape == (None, None, None, 3)
    model = keras.Model(inputs, outputs)
    kernel = to_numpy(model.get_layer("before").kernel)
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    model.fit((255 * images).astype("uint8"), images, verbose=0)
    assert np.any(to_numpy(model.get_layer("before").kernel) != kernel)


def test_symbolic_shape_and_type():
    for dtype, expected in [
        ("float32", "float32"),
        ("mixed_float16", "float16"),
    ]:
        layer = LookupColorLayer(3, dtype=dtype)
        output = layer(keras.Input((8, None, 3), dtype="uint8"))
        assert output.shape == (None, 8, None, 3)
        assert output.dtype == expected


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("jit_compile", [False, rarely(True)])
@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_graph_mode_equals_eager_mode(images, kind, jit_compile):
    import tensorflow as tf

    layer = filled(**kind)
    images[0, 0, 0], images[0, 0, 1] = 0, 1
    x = tf.constant(images)

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, *tape.gradient(y, [x, layer.table.value])

    traced = tf.function(
        step,
        input_signature=[tf.TensorSpec([None, None, None, 3])],
        jit_compile=jit_compile,
    )
    for found, expected in zip(traced(x), step(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


# Tables that come with the images.


@pytest.mark.parametrize("kind", KINDS, ids=label)
@pytest.mark.parametrize("single", [True, False])
def test_a_table_from_elsewhere(rng, images, kind, single):
    layer = LookupColorLayer(5, **kind)
    shape = layer.table_shape if single else (2, *layer.table_shape)
    tables = rng.uniform(0, 1, shape).astype("float32")
    found = to_numpy(layer([images, tables]))
    assert layer.weights == []
    each = np.broadcast_to(tables, (2, *layer.table_shape))
    for one, image, table in zip(found, images, each, strict=True):
        own = LookupColorLayer(5, **kind)
        own.set_table(table)
        np.testing.assert_allclose(
            one, to_numpy(own(image[None]))[0], atol=1e-6
        )


def table_maker(interpolation="linear"):
    """A model that makes a table for each image, and reads from it."""
    images = keras.Input((4, 6, 3))
    x = keras.layers.GlobalAveragePooling2D()(images)
    x = keras.layers.Dense(3 * 3**3, name="maker")(x)
    table = keras.layers.Reshape((3, 3, 3, 3))(x)
    outputs = LookupColorLayer(3, interpolation=interpolation)([images, table])
    return keras.Model(images, outputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "interpolation", sample(["linear", "tetrahedral", "nearest"])
)
def test_a_network_learns_to_make_tables(tmp_path, images, interpolation):
    model = table_maker(interpolation)
    model.compile(keras.optimizers.Adam(0.05), loss="mse")
    history = model.fit(
        images,
        1 - images,
        epochs=30,
        verbose=0,
        callbacks=[GradientSanityCallback()],
    )
    losses = history.history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    model.save(tmp_path / "tables.keras")
    loaded = keras.models.load_model(tmp_path / "tables.keras")
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0),
        model.predict(images, verbose=0),
        atol=1e-6,
    )


def test_tables_that_do_not_fit(images):
    layer = LookupColorLayer(5)
    with pytest.raises(ValueError, match=r"\(5, 5, 5, 3\).*shape=\(4, 4, 4, 3"):
        layer([images, np.zeros((4, 4, 4, 3), "float32")])
    table = np.zeros((5, 5, 5, 3), "float32")
    layer = LookupColorLayer(5, table_constraint="non_neg")
    with pytest.raises(ValueError, match=r"no table of its own.*constraint"):
        layer([images, table])
    layer = LookupColorLayer(5)
    layer([images, table])
    with pytest.raises(ValueError, match=r"none of its own.*without a table"):
        layer.set_table(table)
    with pytest.raises(ValueError, match=r"none of its own"):
        layer(images)


# Other sizes and channels.


def test_an_edge_of_its_own_size_for_each_channel(images):
    layer = LookupColorLayer([2, 5, 3])
    np.testing.assert_allclose(to_numpy(layer(images)), images, atol=1e-6)
    assert layer.table.shape == (2, 5, 3, 3)
    layer.set_table(some_table(layer))
    np.testing.assert_allclose(
        to_numpy(layer(images)),
        reference.trilinear(images, to_numpy(layer.table)),
        atol=1e-6,
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_transparency_is_passed_through(rng, kind, data_format):
    images = rng.uniform(0, 255, (2, 4, 6, 4)).astype("float32")
    layer = filled(value_range=(0, 255), data_format=data_format, **kind)
    plain = filled(value_range=(0, 255), **kind)
    axis = -1 if data_format == "channels_last" else 1
    found = np.moveaxis(
        to_numpy(layer(np.moveaxis(images, -1, axis))), axis, -1
    )
    np.testing.assert_array_equal(found[..., 3], images[..., 3])
    np.testing.assert_allclose(
        found[..., :3], to_numpy(plain(images[..., :3])), rtol=1e-6
    )


def test_one_curve_for_all_channels(images):
    layer = filled(dimensions=1, shared=True)
    assert layer.table.shape == (5, 1)
    table = np.repeat(to_numpy(layer.table), 3, axis=1)
    np.testing.assert_allclose(
        to_numpy(layer(images)), reference.curves(images, table), atol=1e-6
    )


def grayed(images):
    return images.mean(axis=-1, keepdims=True)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_gray_images_become_colors(images, kind, data_format):
    """As three equal channels would."""
    layer = filled(data_format=data_format, **kind)
    axis = -1 if data_format == "channels_last" else 1
    gray = np.moveaxis(grayed(images), -1, axis)
    three = np.repeat(gray, 3, axis=axis)
    found = to_numpy(layer(gray))
    assert found.shape == layer.compute_output_shape(gray.shape) == three.shape
    np.testing.assert_array_equal(found, to_numpy(layer(three)))
    symbolic = keras.Input(gray.shape[1:], batch_size=len(gray))
    assert layer(symbolic).shape == three.shape


def test_gray_images_stay_gray_in_one_curve(images):
    layer = filled(dimensions=1, shared=True)
    gray = grayed(images)
    found = to_numpy(layer(gray))
    assert found.shape == layer.compute_output_shape(gray.shape) == gray.shape
    expected = reference.curves(gray, to_numpy(layer.table))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Unless each channel has a domain of its own.
    domain = ((0, 0, 0), (1, 2, 4))
    wide = LookupColorLayer(
        5, 1, shared=True, curves_domain=domain, check_range="off"
    )
    shape = wide.compute_output_shape(gray.shape)
    assert to_numpy(wide(gray)).shape == shape == (*gray.shape[:-1], 3)


@pytest.mark.slow
def test_a_colormap_is_learned(images):
    gray = grayed(images).clip(0, 1)
    colors = gray ** [0.5, 1.0, 2.0]
    layer = LookupColorLayer(9, 1)
    model = keras.Sequential([keras.Input((None, None, 1)), layer])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    pair = np.repeat(gray, 100, axis=0), np.repeat(colors, 100, axis=0)
    model.fit(*pair, batch_size=len(images), verbose=0)
    assert model.evaluate(gray, colors, verbose=0) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_a_network_makes_a_scalar_table_for_each_image(images, shared):
    """`(batch, size)` will do for one curve, and its gradient comes back."""
    gray = grayed(images)
    tables = np.random.default_rng(1).uniform(0, 1, (len(gray), 5, 3))
    tables = tables.astype("float32")[..., : 1 if shared else 3]
    layer = LookupColorLayer(5, 1, shared=shared)
    found = to_numpy(layer([gray, tables]))
    for image, table, one in zip(gray, tables, found, strict=True):
        expected = reference.curves(np.repeat(image, 3, -1), table)
        expected = expected[..., : table.shape[-1]]
        np.testing.assert_allclose(one, expected, atol=1e-6)
    if shared:
        short = LookupColorLayer(5, 1, shared=True)
        assert short.compute_output_shape([gray.shape, (None, 5)]) == gray.shape
        np.testing.assert_array_equal(
            to_numpy(short([gray, tables[..., 0]])), found
        )
        network = keras.Sequential(
            [
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(5, activation="sigmoid"),
            ]
        )
        inputs = keras.Input((None, None, 1))
        scale = LookupColorLayer(5, 1, shared=True)([inputs, network(inputs)])
        model = keras.Model(inputs, inputs * scale)
        model.compile(keras.optimizers.Adam(0.05), "mse")
        before = model.evaluate(gray, gray**2, verbose=0)
        pair = (np.repeat(x, 60, axis=0) for x in (gray, gray**2))
        model.fit(*pair, batch_size=len(gray), verbose=0)
        assert model.evaluate(gray, gray**2, verbose=0) < before / 3


def test_one_curve_is_a_list_of_numbers(images):
    curve = np.array([0.2, 0.1, 0.7, 0.3, 1.0], "float32")
    layer = LookupColorLayer(5, 1, shared=True)
    layer.set_table(curve)
    assert to_numpy(layer.table).tolist() == curve[:, None].tolist()
    given = LookupColorLayer(5, 1, shared=True)
    np.testing.assert_array_equal(
        to_numpy(given([images, curve])), to_numpy(layer(images))
    )
    with pytest.raises(ValueError, match=r"shape \(5, 1\).*\(4,\)"):
        layer.set_table(curve[1:])
    with pytest.raises(ValueError, match=r"shape \(5, 3\).*\(5,\)"):
        LookupColorLayer(5, 1).set_table(curve)
    with pytest.raises(ValueError, match=r"table.shape=\(4,\)"):
        given([images, curve[1:]])


@pytest.mark.parametrize("kind", ["uint8", "int32", "float32"])
def test_labels_become_colors(kind, rng):
    """Labels 0 to 7, each an entry of the table."""
    palette = rng.uniform(0, 1, (8, 3)).astype("float32")
    layer = LookupColorLayer(
        8,
        1,
        interpolation="nearest",
        value_range=(0, 7),
        output_range=(0, 1),
        check_range="raise",
    )
    layer.set_table(palette)
    labels = rng.integers(0, 8, (2, 5, 6, 1)).astype(kind)
    found = to_numpy(layer(labels))
    np.testing.assert_array_equal(found, palette[labels[..., 0].astype(int)])
    linear = LookupColorLayer(8, 1, value_range=(0, 7), output_range=(0, 1))
    linear.set_table(palette)
    np.testing.assert_allclose(to_numpy(linear(labels)), found, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_what_comes_out_may_have_another_range(images, kind):
    plain = filled(**kind)
    layer = filled(value_range=(0, 255), output_range=(-1, 1), **kind)
    layer.set_table(to_numpy(plain.table))
    expected = 2 * to_numpy(plain(images)) - 1
    found = to_numpy(layer(images * np.float32(255)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # In a file there are the numbers of the table.
    assert layer.to_table().cube is None or kind["dimensions"] == 3
    np.testing.assert_allclose(
        layer.to_table().cube
        if kind["dimensions"] == 3
        else layer.to_table().curves,
        to_numpy(plain.table),
    )


@pytest.mark.parametrize("output_range", [(1, 0), 1, (0, np.inf)])
def test_a_range_that_is_none_is_refused(output_range):
    with pytest.raises(ValueError, match=r"`output_range` to be two.*Received"):
        LookupColorLayer(3, output_range=output_range)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_nearest_entries(images, dimensions):
    layer = filled(dimensions=dimensions, interpolation="nearest")
    twin = reference.nearest if dimensions == 3 else reference.nearest_on_curves
    np.testing.assert_array_equal(
        to_numpy(layer(images)), twin(images, to_numpy(layer.table))
    )


def test_the_gradient_check_blames_the_nearest_entry(images):
    model = keras.Sequential(
        [
            keras.Input((4, 6, 3)),
            keras.layers.Conv2D(3, 1, name="before"),
            LookupColorLayer(
                3, interpolation="nearest", check_range="off", name="grade"
            ),
        ]
    )
    model.compile("sgd", "mse")
    with pytest.raises(GradientSanityError) as caught:
        model.fit(
            images, images, verbose=0, callbacks=[GradientSanityCallback()]
        )
    missing = [record.path for record in caught.value.report.missing]
    assert len(missing) == 2
    assert all("before/" in path for path in missing)
    message = str(caught.value)
    assert "in layer 'grade' (LookupColorLayer)" in message
    assert "Use interpolation='linear' or 'tetrahedral'" in message


# Files.


@pytest.mark.parametrize("kind", [*KINDS, {"dimensions": 1, "shared": True}])
def test_a_file_brings_back_the_same_bits(tmp_path, images, kind):
    layer = filled(**kind)
    layer.to_cube(tmp_path / "grade.cube", title="A grade")
    interpolation = kind.get("interpolation", "linear")
    found = LookupColorLayer.from_cube(
        tmp_path / "grade.cube", interpolation=interpolation
    )
    expected = np.broadcast_to(layer.get_weights()[0], found.table_shape)
    np.testing.assert_array_equal(found.get_weights()[0], expected)
    np.testing.assert_array_equal(
        to_numpy(found(images)), to_numpy(layer(images))
    )
    assert read_cube(tmp_path / "grade.cube").title == "A grade"


def test_red_comes_first_in_the_layer_and_runs_fastest_in_the_file(tmp_path):
    rows = ["0 0 0", "1 0 0", *["0.5 0.5 0.5"] * 6]
    path = tmp_path / "red.cube"
    path.write_text("LUT_3D_SIZE 2\n" + "\n".join(rows) + "\n")
    (table,) = LookupColorLayer.from_cube(path).get_weights()
    np.testing.assert_array_equal(table[1, 0, 0], [1, 0, 0])
    np.testing.assert_array_equal(table[0, 1, 0], [0.5, 0.5, 0.5])


def test_a_domain_is_the_range_of_the_layer(tmp_path):
    path = tmp_path / "bright.cube"
    path.write_text(
        "LUT_1D_SIZE 3\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 4 4 4\n"
        "0 0 0\n1 2 3\n4 2 0\n"
    )
    layer = LookupColorLayer.from_cube(path)
    assert layer.value_range == (0.0, 4.0)
    colors = np.float32([[0, 2, 4], [1, 1, 1]]).reshape(1, 1, 2, 3)
    np.testing.assert_allclose(
        to_numpy(layer(colors))[0, 0], [[0, 2, 0], [0.5, 1, 1.5]], atol=1e-6
    )
    layer.to_cube(tmp_path / "again.cube", domain=(0, 4))
    again, before = (
        read_cube(tmp_path / name) for name in ("again.cube", "bright.cube")
    )
    np.testing.assert_allclose(again.curves, before.curves, atol=1e-6)
    assert again.curves_domain == before.curves_domain


def test_a_file_for_images_in_another_range(tmp_path, images):
    layer = filled()
    layer.to_cube(tmp_path / "grade.cube")
    eight_bits = LookupColorLayer.from_cube(
        tmp_path / "grade.cube", value_range=(0, 255)
    )
    np.testing.assert_allclose(
        to_numpy(eight_bits(255 * images)),
        255 * to_numpy(layer(images)),
        atol=1e-4,
    )


@pytest.mark.slow
def test_a_table_from_a_file_is_fine_tuned_and_written_again(tmp_path, images):
    filled().to_cube(tmp_path / "before.cube")
    layer = LookupColorLayer.from_cube(tmp_path / "before.cube")
    model = keras.Sequential([keras.Input((4, 6, 3)), layer])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(images, images, epochs=3, verbose=0)
    layer.to_cube(tmp_path / "after.cube")
    before, after = (
        read_cube(tmp_path / f"{name}.cube").cube
        for name in ("before", "after")
    )
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, layer.get_weights()[0])


def test_files_that_are_no_single_layer(tmp_path):
    path = tmp_path / "both.cube"
    path.write_text("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n")
    with pytest.raises(ValueError, match=r"Leave them out.*Received: size"):
        LookupColorLayer.from_cube(path, size=3)
    oblong = LookupColorLayer((2, 3, 4))
    oblong.build((None, 4, 4, 3))
    with pytest.raises(ValueError, match=r"one size.*size=\(2, 3, 4\)"):
        oblong.to_cube(path)
    with pytest.raises(ValueError, match=r"none of its own"):
        LookupColorLayer(3).to_cube(path)
    assert path.read_text().startswith("LUT_1D_SIZE 2")


# Tables of files, and their domains.

NARROW = ((-0.5, 0.0, 0.0), (1.0, 1.0, 4.0))


def table_of(kind, domain, rng):
    """Returns a table over a domain: curves, a cube, or one after the other."""
    curves = rng.uniform(0, 1, (6, 3)).cumsum(0)
    cube = rng.uniform(0, 2, (4, 4, 4, 3))
    if kind == "curves":
        return ColorTable(curves=curves, curves_domain=domain)
    if kind == "cube":
        return ColorTable(cube=cube, cube_domain=domain)
    return ColorTable(
        curves=curves,
        cube=cube,
        curves_domain=domain,
        cube_domain=((0, 1, 2), (3, 4, 5)),
    )


def check_same_table(found, expected):
    for name in ("curves", "cube"):
        before, after = getattr(expected, name), getattr(found, name)
        assert (before is None) == (after is None)
        if before is not None:
            np.testing.assert_allclose(after, before, atol=2e-6)
        domain = f"{name}_domain"
        assert getattr(found, domain) == getattr(expected, domain)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "domain", [((0,) * 3, (1,) * 3), ((-0.5,) * 3, (4,) * 3), NARROW], ids=str
)
@pytest.mark.parametrize("kind", ["curves", "cube", "both"])
def test_a_table_goes_in_and_comes_out(rng, kind, domain, training):
    """With its domain, and the colors are those that NumPy finds."""
    table = table_of(kind, domain, rng)
    layer = LookupColorLayer.from_table(table, check_range="off")
    colors = rng.uniform(-1, 5, (2, 4, 6, 3)).astype("float32")
    expected = apply_table(table, colors)
    np.testing.assert_allclose(
        to_numpy(layer(colors, training=training)), expected, atol=1e-5
    )
    check_same_table(layer.to_table(), table)
    low, high = np.array(domain)
    assert layer.value_range == (low.min(), high.max())


def test_a_domain_a_channel_in_each_layout_and_read_by_tetrahedra(rng):
    table = table_of("cube", NARROW, rng)
    layer = LookupColorLayer.from_table(
        table, interpolation="tetrahedral", data_format="channels_first"
    )
    colors = rng.uniform(-0.5, 4, (2, 4, 6, 3)).astype("float32")
    found = np.moveaxis(to_numpy(layer(np.moveaxis(colors, -1, 1))), 1, -1)
    expected = apply_table(table, colors, interpolation="tetrahedral")
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["curves", "cube", "both"])
def test_a_domain_of_images_in_another_range(rng, kind):
    """The ends of that range stand for those of the domain, all in all."""
    table = table_of(kind, NARROW, rng)
    layer = LookupColorLayer.from_table(table, value_range=(-1, 1))
    colors = rng.uniform(-0.5, 4, (4, 6, 3)).astype("float32")
    found = to_numpy(layer((colors + 0.5) / 4.5 * 2 - 1))
    expected = (apply_table(table, colors) + 0.5) / 4.5 * 2 - 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    check_same_table(layer.to_table(), table)
    # Or they are to stand for other colors.
    other = layer.to_table(domain=(-5, 4))
    np.testing.assert_allclose(
        apply_table(other, (colors.astype("float64") + 0.5) * 2 - 5),
        (apply_table(table, colors.astype("float64")) + 0.5) * 2 - 5,
        atol=1e-5,
    )


@pytest.mark.slow
def test_a_domain_survives_saving_and_training(rng, tmp_path):
    table = table_of("both", NARROW, rng)
    layer = LookupColorLayer.from_table(table)
    model = keras.Sequential([keras.Input((4, 6, 3)), layer])
    model.save(tmp_path / "grade.keras")
    loaded = keras.models.load_model(tmp_path / "grade.keras")
    check_same_table(loaded.layers[0].to_table(), table)
    images = rng.uniform(0, 1, (2, 4, 6, 3)).astype("float32")
    loaded.compile("sgd", "mse")
    loss = [
        loaded.fit(images, images, verbose=0).history["loss"][0]
        for _ in range(3)
    ]
    assert loss[2] < loss[0]
    found = loaded.layers[0].to_table()
    np.testing.assert_allclose(
        to_numpy(loaded(images)), apply_table(found, images), atol=1e-5
    )


@pytest.mark.parametrize("name", ["grade.cube", "GRADE.CUBE"])
def test_a_domain_survives_a_file(rng, tmp_path, name):
    table = table_of("cube", NARROW, rng)
    write_table(tmp_path / name, table)
    layer = LookupColorLayer.from_table(read_table(tmp_path / name))
    write_table(tmp_path / name, layer.to_table(title="Again"))
    again = read_table(tmp_path / name)
    check_same_table(again, table)
    assert again.title == "Again"
    LookupColorLayer.from_cube(tmp_path / name).to_cube(tmp_path / name)
    check_same_table(read_table(tmp_path / name), table)


def test_a_layer_of_no_table_writes_from_zero_to_one():
    layer = filled(value_range=(-1, 1))
    table = layer.to_table()
    np.testing.assert_array_equal(table.cube, layer.get_weights()[0])
    assert table.cube_domain == ((0, 0, 0), (1, 1, 1))


def test_tables_that_cannot_be():
    layer = filled()
    with pytest.raises(ValueError, match=r"^LookupColorLayer.to_table needs"):
        layer.to_table(domain=(1, 0))
    table = layer.to_table()
    with pytest.raises(ValueError, match=r"Received: cube_domain, shared$"):
        LookupColorLayer.from_table(table, shared=True, cube_domain=NARROW)
    with pytest.raises(TypeError, match=r"from_table works on a ColorTable"):
        LookupColorLayer.from_table(table.cube)


# A shaper before the cube.


def shaped(rng, value_range=(0, 1), **arguments):
    layer = LookupColorLayer(
        4, shaper_size=6, value_range=value_range, **arguments
    )
    curves = np.linspace(0, 1, 6)[:, None] ** [0.5, 1.0, 2.0]
    layer.set_table(rng.uniform(0, 1, (4, 4, 4, 3)), curves)
    return layer


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1)])
@pytest.mark.parametrize("interpolation", ["linear", "tetrahedral"])
def test_a_shaper_comes_before_the_cube(
    rng, images, value_range, interpolation
):
    layer = shaped(rng, value_range, interpolation=interpolation)
    cube, curves = (to_numpy(x.value) for x in (layer.table, layer.shaper))
    low, high = value_range
    found = to_numpy(layer(images * (high - low) + low))
    twin = {
        "linear": reference.trilinear,
        "tetrahedral": reference.tetrahedral,
    }[interpolation]
    expected = twin(reference.curves(images, curves), cube)
    np.testing.assert_allclose(found, expected * (high - low) + low, atol=5e-6)


@pytest.mark.slow
def test_a_shaper_changes_nothing_at_first_and_is_trained(rng, images):
    layer = LookupColorLayer(
        4,
        shaper_size=5,
        shaper_constraint=keras.constraints.NonNeg(),
        shaper_regularizer="l2",
    )
    np.testing.assert_allclose(to_numpy(layer(images)), images, atol=3e-7)
    assert len(layer.losses) == 1
    before = to_numpy(layer.shaper.value)
    model = keras.Sequential([keras.Input((4, 6, 3)), layer])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(images, images**2, epochs=3, verbose=0)
    after = to_numpy(layer.shaper.value)
    assert np.any(after != before)
    assert np.all(after >= 0)
    assert [x.shape for x in layer.get_weights()] == [(5, 3), (4, 4, 4, 3)]


@pytest.mark.parametrize("ranges", ["", "LUT_3D_INPUT_RANGE -1 3\n"])
def test_a_file_with_curves_and_a_cube_is_one_layer(tmp_path, rng, ranges):
    """Applied one after the other by NumPy."""
    path = tmp_path / "both.cube"
    curves = rng.uniform(0, 1, (3, 3)).astype("float32")
    cube = rng.uniform(0, 1, (8, 3)).astype("float32")
    text = "LUT_1D_SIZE 3\nLUT_1D_INPUT_RANGE 0 2\nLUT_3D_SIZE 2\n" + ranges
    for row in np.concatenate([curves, cube]):
        text += " ".join(map(str, row)) + "\n"
    path.write_text(text)
    layer = LookupColorLayer.from_cube(path)
    assert layer.value_range == (0.0, 2.0)
    colors = rng.uniform(0, 2, (50, 3)).astype("float32")
    places = reference.curves(colors / 2, curves)
    if ranges:
        places = (places + 1) / 4
    # Red is the fastest in a file.
    entries = cube.reshape(2, 2, 2, 3).transpose(2, 1, 0, 3)
    expected = reference.trilinear(places, entries)
    np.testing.assert_allclose(to_numpy(layer(colors)), expected, atol=1e-5)
    layer.to_cube(tmp_path / "again.cube", domain=(0, 2))
    again = LookupColorLayer.from_cube(tmp_path / "again.cube")
    np.testing.assert_allclose(to_numpy(again(colors)), expected, atol=1e-5)


# Pictures.


@pytest.fixture
def pyplot():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    yield pyplot
    pyplot.close("all")


def test_curves_are_drawn_as_they_are_in_the_table(pyplot):
    layer = filled(dimensions=1, name="curves", value_range=(0, 255))
    axes = layer.plot()
    lines = [x.get_data() for x in axes.lines if x.get_linestyle() != "--"]
    for line, entries in zip(lines, layer.get_weights()[0].T, strict=True):
        np.testing.assert_allclose(line, [np.linspace(0, 1, 5), entries])
    assert axes.get_title() == "curves"
    shared = filled(dimensions=1, shared=True).plot()
    assert len(shared.lines) == 2


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_cube_is_drawn_beside_an_image_before_and_after(
    pyplot, rng, data_format, channels
):
    layer = filled(size=(2, 3, 4), value_range=(-1, 1), data_format=data_format)
    image = rng.uniform(-1, 1, (4, 6, channels)).astype("float32")
    given = image
    if data_format == "channels_first":
        given = np.moveaxis(image, -1, 0)
    table, before, after = layer.plot(given)
    (scatter,) = table.collections
    np.testing.assert_allclose(
        np.transpose(scatter._offsets3d), some_table(layer).reshape(-1, 3)
    )
    expected = reference.trilinear(image[..., :3] / 2 + 0.5, some_table(layer))
    for axes, pixels in ((before, image[..., :3] / 2 + 0.5), (after, expected)):
        (picture,) = axes.images
        np.testing.assert_allclose(picture.get_array(), pixels, atol=1e-5)
    assert [before.get_title(), after.get_title()] == ["before", "after"]
    table.figure.canvas.draw()


def test_what_cannot_be_drawn(pyplot, images):
    layer = filled()
    message = r"^LookupColorLayer.plot draws one image.*shape=\(2, 4, 6, 3\)$"
    with pytest.raises(ValueError, match=message):
        layer.plot(images)
    with pytest.raises(ValueError, match=r"\['3d', 'rect.*Received: axes with"):
        layer.plot(images[0], axes=pyplot.subplot(projection="3d"))
    with pytest.raises(ValueError, match="none of its own"):
        LookupColorLayer(3).plot()


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_no_images(dimensions, interpolation):
    """None come back, whether or not they have tables of their own."""
    layer = LookupColorLayer(
        4, dimensions=dimensions, interpolation=interpolation
    )
    images = np.zeros((0, 5, 6, 3), "float32")
    tables = np.zeros((0, *layer.table_shape), "float32")
    assert tuple(layer(images).shape) == (0, 5, 6, 3)
    assert tuple(layer([images, tables]).shape) == (0, 5, 6, 3)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(LookupColorLayer)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_layout_that_is_the_other_one_is_named(data_format):
    other = {"channels_last": (1, 3, 16, 16), "channels_first": (1, 16, 16, 3)}
    layer = LookupColorLayer(2, data_format=data_format)
    with pytest.raises(ValueError, match=r"look as if.*pass `data_format='"):
        layer(np.zeros(other[data_format], "float32"))


def test_a_table_of_bytes_is_told():
    """Of a brighter one nothing is said."""
    layer = LookupColorLayer(2, 1)
    with pytest.warns(UserWarning, match=r"divide them by 255"):
        layer.set_table([[0, 0, 0], [255, 255, 255]])
    layer.set_table([[0, 0, 0], [255.5, 255, 255]])
    layer.set_table([[0, 0, 0], [2, 2, 2]])
