import json

import checks
import keras
import numpy as np
import pytest
from public_objects import run_python
from reference import color_lookup as reference
from sampling import sample

from keras_perceptual import (
    BoundedTable,
    GradientSanityCallback,
    MonotonicTable,
    TableSmoothness,
)
from keras_perceptual.io import ColorTable, write_cube
from keras_perceptual.layers import (
    AdaptiveLookupColorLayer,
    LookupColorLayer,
    mixing_network,
)

LAYOUTS = ["channels_last", "channels_first"]
TWINS = {
    "linear": reference.trilinear,
    "tetrahedral": reference.tetrahedral,
    "nearest": reference.nearest,
}


def to_numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))


def averages(data_format="channels_last"):
    """The least backbone: the mean color."""
    return keras.layers.GlobalAveragePooling2D(data_format=data_format)


def convolutions():
    """A small network that returns a feature map."""
    return keras.Sequential(
        [
            keras.layers.Conv2D(6, 3, strides=2, activation="silu"),
            keras.layers.Conv2D(4, 2, activation="silu"),
        ]
    )


@keras.saving.register_keras_serializable(package="tests")
class Spread(keras.layers.Layer):
    """Mean and deviation of each channel, times a weight."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(6,))

    def call(self, x):
        found = [
            statistic(x, axis=(1, 2))
            for statistic in (keras.ops.mean, keras.ops.std)
        ]
        return keras.ops.concatenate(found, axis=-1) * self.scale


@keras.saving.register_keras_serializable(package="tests")
class Looker(keras.Model):
    """A model that makes its layers' weights when it is called."""

    def __init__(self, units=5, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.pool = keras.layers.GlobalMaxPooling2D()
        self.dense = keras.layers.Dense(units, activation="tanh")

    def call(self, x):
        return self.dense(self.pool(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def functional():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 1, activation="tanh")(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


BACKBONES = {
    "layer with weights": Spread,
    "sequential": convolutions,
    "functional": functional,
    "subclassed": Looker,
}


def filled(images, seed=1, **arguments):
    """A layer whose weights are all noise."""
    layer = AdaptiveLookupColorLayer(
        **{"size": 4, "backbone": averages(), **arguments}
    )
    layer.build(images.shape)
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.uniform(0, 1, w.shape) for w in layer.weights])
    return layer


def shares(layer, features):
    kernel, bias = layer.head.get_weights()
    return features @ kernel + bias


def adaptive_model(**arguments):
    inputs = keras.Input((None, None, 3))
    layer = AdaptiveLookupColorLayer(**{"size": 3, **arguments}, name="grade")
    return keras.Model(inputs, layer(inputs))


@pytest.fixture
def small_network(monkeypatch):
    """The default network looks at images of 32 x 32 pixels."""
    monkeypatch.setattr(mixing_network, "SIDE", 32)


@pytest.fixture
def images(rng):
    return rng.uniform(0, 1, (2, 6, 7, 3)).astype("float32")


# Values.


@pytest.mark.parametrize("interpolation", ["linear", "tetrahedral"])
@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (0, 255)], ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_starts_as_the_identity(images, interpolation, value_range, training):
    low, high = value_range
    images = images * (high - low) + low
    layer = AdaptiveLookupColorLayer(
        33,
        backbone=convolutions(),
        interpolation=interpolation,
        value_range=value_range,
    )
    np.testing.assert_allclose(
        to_numpy(layer(images, training=training)),
        images,
        atol=4e-7 * max(abs(low), abs(high)),
    )


@pytest.mark.usefixtures("small_network")
@pytest.mark.parametrize("data_format", LAYOUTS)
def test_starts_as_the_identity_with_its_own_network(images, data_format):
    images = images if data_format == "channels_last" else images.swapaxes(1, 3)
    inputs = keras.Input(images.shape[1:])
    layer = AdaptiveLookupColorLayer(data_format=data_format)
    found = keras.Model(inputs, layer(inputs)).predict(images, verbose=0)
    np.testing.assert_allclose(found, images, atol=4e-7)


def test_as_many_weights_as_in_the_paper():
    layer = AdaptiveLookupColorLayer()
    layer.build((None, None, None, 4))
    assert layer.count_params() == 593_516


def test_what_the_image_adds_differs_from_table_to_table(images):
    """But not to the first: tables with equal weights would stay equal."""
    layer = AdaptiveLookupColorLayer(3, 4, backbone=averages())
    weights = to_numpy(layer.mixing_weights(images))
    np.testing.assert_array_equal(weights[:, 0], 1)
    assert len(np.unique(weights)) == 1 + 2 * 3


@pytest.mark.parametrize("interpolation", TWINS)
@pytest.mark.parametrize("value_range", [(0, 1), (-1, 3)], ids=str)
@pytest.mark.parametrize("num_tables", [1, 3])
def test_equals_the_numpy_twin(images, interpolation, value_range, num_tables):
    low, high = value_range
    scaled = images * np.float32(high - low) + np.float32(low)
    layer = filled(
        images,
        interpolation=interpolation,
        value_range=value_range,
        num_tables=num_tables,
    )
    weights = shares(layer, scaled.mean(axis=(1, 2)))
    expected = reference.mixed(
        images,
        [to_numpy(table) for table in layer.tables],
        weights,
        TWINS[interpolation],
    )
    found = (to_numpy(layer(scaled)) - low) / (high - low)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        to_numpy(layer.mixing_weights(scaled)), weights, rtol=1e-5
    )


def test_a_feature_map_is_averaged(images):
    layer = filled(images, backbone=convolutions())
    features = to_numpy(layer.backbone(images)).mean(axis=(1, 2))
    np.testing.assert_allclose(
        to_numpy(layer.mixing_weights(images)),
        shares(layer, features),
        rtol=1e-5,
    )


@pytest.mark.parametrize("data_format", LAYOUTS)
def test_a_feature_map_has_the_layout_of_the_images(images, data_format):
    axis = -1 if data_format == "channels_last" else 1
    layer = filled(
        np.moveaxis(images, -1, axis),
        backbone=keras.layers.Identity(),
        data_format=data_format,
    )
    found = layer.mixing_weights(np.moveaxis(images, -1, axis))
    expected = shares(layer, images.mean(axis=(1, 2)))
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5)


@pytest.mark.parametrize("data_format", LAYOUTS)
@pytest.mark.parametrize("channels", [3, 4])
def test_each_frame_of_a_video_has_a_table(rng, data_format, channels):
    """As the frames would one by one, whatever is known of the shape."""
    video = rng.uniform(0, 1, (2, 3, 5, 4, channels)).astype("float32")
    axis = -1 if data_format == "channels_last" else 2
    video = np.moveaxis(video, -1, axis)
    frames = video.reshape(6, *video.shape[2:])
    layer = filled(
        frames, backbone=averages(data_format), data_format=data_format
    )
    assert layer.compute_output_shape(video.shape) == video.shape
    expected = to_numpy(layer(frames)).reshape(video.shape)
    np.testing.assert_allclose(to_numpy(layer(video)), expected, atol=1e-6)
    weights = to_numpy(layer.mixing_weights(frames))
    found = to_numpy(layer.mixing_weights(video))
    np.testing.assert_allclose(found, weights.reshape(2, 3, -1), atol=1e-6)
    tables = to_numpy(layer.tables_of(frames))
    found = to_numpy(layer.tables_of(video))
    np.testing.assert_allclose(
        found, tables.reshape(2, 3, *tables.shape[1:]), atol=1e-6
    )
    known = channels if data_format == "channels_last" else None
    shape = [None] * 4
    shape[axis if axis == -1 else axis - 1] = channels
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape[-1] == known
    found = model.predict(video, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
def test_a_layer_is_built_and_trained_on_video(rng):
    video = rng.uniform(0, 1, (2, 3, 5, 4, 3)).astype("float32")
    layer = AdaptiveLookupColorLayer(3, backbone=averages())
    model = keras.Sequential([keras.Input((None, 5, 4, 3)), layer])
    np.testing.assert_allclose(to_numpy(layer(video)), video, atol=1e-6)
    model.compile(keras.optimizers.Adam(0.02), "mse")
    before = model.evaluate(video, video**2, verbose=0)
    pair = (np.repeat(x, 30, axis=0) for x in (video, video**2))
    model.fit(*pair, batch_size=2, verbose=0)
    assert model.evaluate(video, video**2, verbose=0) < before / 2
    assert layer(video[:0]).shape == (0, 3, 5, 4, 3)


@pytest.mark.parametrize("data_format", LAYOUTS)
def test_transparency_and_layouts(rng, data_format):
    images = rng.uniform(0, 255, (2, 5, 4, 4)).astype("float32")
    plain = filled(images, value_range=(0, 255))
    expected = to_numpy(plain(images[..., :3]))
    axis = -1 if data_format == "channels_last" else 1
    moved = np.moveaxis(images, -1, axis)
    layer = filled(
        moved,
        backbone=averages(data_format),
        value_range=(0, 255),
        data_format=data_format,
    )
    assert layer.compute_output_shape(moved.shape) == moved.shape
    found = np.moveaxis(to_numpy(layer(moved)), axis, -1)
    np.testing.assert_array_equal(found[..., 3], images[..., 3])
    np.testing.assert_allclose(found[..., :3], expected, rtol=1e-5)


def test_extrapolation_is_that_of_the_look_up():
    outside = np.array([-0.5, 0.5, 2.0] * 3, "float32").reshape(1, 1, 3, 3)
    for extrapolate, expected in [
        ("clamp", np.clip(outside, 0, 1)),
        ("linear", outside),
    ]:
        layer = AdaptiveLookupColorLayer(
            4,
            backbone=averages(),
            extrapolate=extrapolate,
            check_range="off",
        )
        np.testing.assert_allclose(
            to_numpy(layer(outside)), expected, atol=1e-6
        )


def test_integer_images(rng):
    images = rng.integers(0, 256, (2, 5, 4, 3)).astype("uint8")
    layer = filled(images, value_range=(0, 255))
    np.testing.assert_allclose(
        to_numpy(layer(images)),
        to_numpy(layer(images.astype("float32"))),
        rtol=1e-6,
    )
    # They are not rounded where the backbone resizes them, either.
    layer = filled(
        images, backbone=keras.layers.Resizing(2, 3), check_range="off"
    )
    np.testing.assert_allclose(
        to_numpy(layer.mixing_weights(images)),
        to_numpy(layer.mixing_weights(images.astype("float32"))),
        rtol=1e-6,
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(images, policy):
    half = policy.removeprefix("mixed_")
    rounded = to_numpy(keras.ops.cast(images, half))
    layer = filled(images, backbone=averages(), dtype=policy)
    assert {table.dtype for table in layer.tables} == {"float32"}
    # Of the same features, for the backbone may compute as it likes.
    weights = shares(layer, to_numpy(layer.backbone(rounded)))
    tables = [to_numpy(table) for table in layer.tables]
    found = layer(images)
    assert keras.backend.standardize_dtype(found.dtype) == half
    assert keras.backend.standardize_dtype(layer.tables_of(images).dtype) == (
        "float32"
    )
    expected = reference.mixed(rounded, tables, weights)
    # Exact but for the rounding of features and output.
    np.testing.assert_allclose(
        to_numpy(found), expected, rtol=1e-2 if half == "bfloat16" else 2e-3
    )
    network = AdaptiveLookupColorLayer(2, dtype=policy).backbone
    assert network.get_layer("conv1").compute_dtype == half


@pytest.mark.tensorflow_only
def test_float64(images):
    images = images.astype("float64")
    layer = filled(
        images,
        backbone=keras.layers.GlobalAveragePooling2D(dtype="float64"),
        dtype="float64",
    )
    found = keras.ops.convert_to_numpy(layer(images))
    assert found.dtype == "float64"
    expected = reference.mixed(
        images,
        [keras.ops.convert_to_numpy(table) for table in layer.tables],
        shares(layer, images.mean(axis=(1, 2))),
    )
    np.testing.assert_allclose(found, expected, atol=1e-13)


# Gradients.


def test_finite_differences_of_images_and_every_weight(rng):
    # Well inside the cells, and away from the planes between them.
    place = rng.uniform(0.2, 0.8, (2, 5, 5, 3))
    images = ((rng.integers(0, 2, place.shape) + place) / 2).astype("float32")
    layer = filled(images, size=3, num_tables=2, backbone=Spread())
    above = rng.uniform(-1, 1, images.shape).astype("float32")

    def total(images, *weights):
        result, _ = layer.stateless_call(weights, [], images)
        return keras.ops.sum(result * keras.ops.convert_to_tensor(above))

    weights = [w.astype("float32") for w in layer.get_weights()]
    assert len(weights) == 2 + 1 + 2
    checks.check_finite_differences(
        total, images, *weights, step=2e-2, directions=3
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "backbone", [convolutions, pytest.param(None, marks=pytest.mark.slow)]
)
def test_the_gradient_check_is_content(rng, images, backbone):
    """Every weight has a gradient within the first three steps."""
    images = rng.uniform(0, 1, (12, 6, 7, 3)).astype("float32")
    model = adaptive_model(backbone=backbone and backbone())
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    check = GradientSanityCallback(on_zero="raise")
    model.fit(images, images**2, 4, verbose=0, callbacks=[check])
    assert check.report.batches == 3
    assert {record.status for record in check.report} == {"ok"}
    assert len(list(check.report)) == len(model.trainable_variables)


def test_from_the_first_step_tables_and_head_learn(images):
    """The backbone does from the second: at first it is of no account."""
    layer = AdaptiveLookupColorLayer(3, backbone=Spread())
    layer.build(images.shape)

    def loss(*weights):
        result, _ = layer.stateless_call(weights, [], images)
        return keras.losses.MeanSquaredError()(images**2, result)

    found = checks.gradients(loss, *layer.get_weights())
    own = {v.path for v in [*layer.tables, *layer.head.variables]}
    assert len(own) == 3 + 2
    for variable, gradient in zip(layer.variables, found, strict=True):
        assert np.any(gradient != 0) == (variable.path in own)


# Regularizers and constraints.


def test_each_table_is_regularized_and_constrained_by_itself():
    regularizer = TableSmoothness(0.5)
    model = adaptive_model(
        backbone=averages(),
        table_regularizer=regularizer,
        table_constraint=MonotonicTable(high=0.75),
    )
    tables = model.get_layer("grade").tables
    for seed, table in enumerate(tables):
        noise = np.random.default_rng(seed).uniform(0, 1, table.shape)
        table.assign(noise)
    found = sum(float(to_numpy(loss)) for loss in model.losses)
    expected = sum(
        float(to_numpy(regularizer(keras.ops.convert_to_tensor(table))))
        for table in tables
    )
    assert found == pytest.approx(expected, rel=1e-5)
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.apply([keras.ops.zeros(t.shape) for t in tables], tables)
    for table in map(to_numpy, tables):
        assert table.max() <= 0.75
        for axis in range(3):
            assert np.all(np.diff(table[..., axis], axis=axis) >= 0)
            # Along the others a channel may fall.
            assert np.any(np.diff(table[..., axis], axis=axis - 1) < 0)


def test_the_mix_is_regularized_by_its_mean_square(images):
    layer = filled(images, mix_regularizer=keras.regularizers.L2(0.25))
    weights = to_numpy(layer.mixing_weights(images))
    layer(images)
    (cost,) = layer.losses
    np.testing.assert_allclose(
        to_numpy(cost), 0.25 * np.mean(weights**2), rtol=1e-5
    )
    assert np.std(weights) > 0.01


@pytest.mark.slow
def test_the_cost_of_the_mix_is_part_of_the_loss(images):
    model = adaptive_model(backbone=averages(), mix_regularizer="l2")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    layer = model.get_layer("grade")
    before = np.mean(to_numpy(layer.mixing_weights(images)) ** 2)
    loss = model.train_on_batch(images, images)
    assert float(loss) == pytest.approx(0.01 * before, rel=1e-4)
    assert np.mean(to_numpy(layer.mixing_weights(images)) ** 2) < before


# Configuration.


def test_config_keeps_every_argument():
    layer = AdaptiveLookupColorLayer(
        (3, 4, 5),
        2,
        backbone=functional(),
        interpolation="tetrahedral",
        value_range=(-1, 1),
        table_regularizer=TableSmoothness(0.125),
        table_constraint=BoundedTable(high=2),
        mix_regularizer=keras.regularizers.L1(0.5),
        data_format="channels_last",
        name="grade",
        dtype="mixed_bfloat16",
        trainable=False,
    )
    revived = checks.check_config(layer)
    revived.build((None, 2, 2, 3))
    assert revived.trainable_weights == []
    assert [tuple(t.shape) for t in revived.tables] == [(3, 4, 5, 3)] * 2
    for table in revived.tables:
        assert table.regularizer.factor == 0.125
        assert table.constraint.high == 2
    assert revived.mix_regularizer.l1 == 0.5
    assert [type(x) for x in revived.backbone.layers] == [
        type(x) for x in layer.backbone.layers
    ]
    linear = AdaptiveLookupColorLayer(
        3,
        backbone=averages(),
        extrapolate="linear",
        data_format="channels_first",
    )
    assert checks.check_config(linear).reader.get_config()["extrapolate"] == (
        "linear"
    )


def test_default_config_makes_the_network_again():
    config = AdaptiveLookupColorLayer(4).get_config()
    assert config["backbone"] is None
    revived = checks.check_config(AdaptiveLookupColorLayer(4))
    assert revived.backbone.output_shape == (None, 8192)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 1}, ValueError, r"`size`.*at least 2.*Received: size=1"),
        (
            {"num_tables": 0},
            ValueError,
            r"`num_tables`.*Received: num_tables=0",
        ),
        ({"num_tables": 2.5}, ValueError, r"Received: num_tables=2.5"),
        (
            {"interpolation": "cubic"},
            ValueError,
            r"'linear', 'tetrahedral'.*Received: interpolation='cubic'",
        ),
        (
            {"interpolation": "tetrahedral", "extrapolate": "linear"},
            ValueError,
            r"go on beyond.*Received: interpolation='tetrahedral'",
        ),
        ({"value_range": (1, 0)}, ValueError, r"`value_range`.*Received"),
        ({"data_format": "nhwc"}, ValueError, r"`data_format`.*Received"),
        (
            {"backbone": "vgg16"},
            TypeError,
            r"AdaptiveLookup.*layer or model.*Received: backbone='vgg16'",
        ),
        ({"backbone": [1.5]}, TypeError, r"`keras.layers.Layer`.*Received"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        AdaptiveLookupColorLayer(**arguments)


@pytest.mark.parametrize(
    ("data_format", "shape", "message"),
    [
        ("channels_last", (2, 4, 4, 1), r"3 or 4 channels"),
        ("channels_first", (2, 5, 4, 3), r"3 or 4 channels"),
        ("channels_last", (4, 4, 3), r"\(batch, height, width, channels\)"),
        ("channels_last", (2, 3, 4, 4, 1), r"3 or 4 channels"),
        ("channels_first", (2, 3, 2, 4, 4), r"3 or 4 channels"),
    ],
)
def test_wrong_images(data_format, shape, message):
    layer = AdaptiveLookupColorLayer(
        3, backbone=averages(data_format), data_format=data_format
    )
    message = rf"AdaptiveLookupColorLayer.*{message}.*Received: images of shape"
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape, "float32"))
    with pytest.raises(ValueError, match=message):
        layer.compute_output_shape(shape)
    with pytest.raises(ValueError, match=message):
        layer.tables_of(np.zeros(shape, "float32"))


class Pair(keras.layers.Layer):
    def call(self, x):
        return [x, x]


@pytest.mark.parametrize(
    ("backbone", "received"),
    [
        (keras.layers.Reshape((-1, 3)), r"shape \(2, \d+, 3\)"),
        (Pair(), "a list"),
    ],
)
def test_backbones_that_return_no_features(images, backbone, received):
    layer = AdaptiveLookupColorLayer(3, backbone=backbone)
    with pytest.raises(
        ValueError,
        match=rf"\(batch, n\).*Received: a backbone that returns.*{received}",
    ):
        layer(images)


# In a model.


class Enhancer(keras.Model):
    """A model that is built where it is first called, inside a trace."""

    def __init__(self):
        super().__init__()
        self.grade = AdaptiveLookupColorLayer(5, backbone=averages())

    def call(self, x):
        return self.grade(x)


@pytest.mark.slow
def test_learns_what_a_single_table_cannot(rng):
    """In the dark the same colors become brighter, in the light darker."""
    colors = rng.uniform(0.25, 0.75, (4, 8, 8, 3))
    images = np.repeat(colors, 2, axis=0)
    targets = np.repeat(colors, 2, axis=0)
    # The left half tells which it is, and stays.
    images[0::2, :, :4] = targets[0::2, :, :4] = 0
    images[1::2, :, :4] = targets[1::2, :, :4] = 1
    targets[0::2, :, 4:] += 0.2
    targets[1::2, :, 4:] -= 0.2
    # From whatever color a table holds, one of the two is 0.2 away.
    least = 0.5 * 0.2**2
    model = Enhancer()
    model.compile(
        keras.optimizers.Adam(0.05),
        loss="mse",
    )
    history = model.fit(
        images.astype("float32"),
        targets.astype("float32"),
        epochs=60,
        verbose=0,
    ).history
    assert history["loss"][-1] < least / 5
    assert len(model.trainable_variables) == 3 + 2


@pytest.mark.slow
@pytest.mark.parametrize("name", sample(list(BACKBONES), 2))
def test_any_backbone_is_trained_and_saved(tmp_path, images, name):
    model = adaptive_model(backbone=BACKBONES[name]())
    layer = model.get_layer("grade")
    model.compile(keras.optimizers.SGD(0.5), "mse")
    before = [to_numpy(v) for v in layer.backbone.variables]
    model.fit(images, 1 - images, epochs=2, verbose=0)
    after = [to_numpy(v) for v in layer.backbone.variables]
    assert (
        len(layer.backbone.variables)
        == {
            "layer with weights": 1,
            "sequential": 4,
            "functional": 2,
            "subclassed": 2,
        }[name]
    )
    assert all(np.any(x != y) for x, y in zip(before, after, strict=True))
    expected = to_numpy(model(images))
    assert np.abs(expected - images).max() > 0.01

    model.save(tmp_path / "adaptive.keras")
    loaded = keras.models.load_model(tmp_path / "adaptive.keras")
    np.testing.assert_allclose(to_numpy(loaded(images)), expected, atol=1e-6)
    found = loaded.get_layer("grade").backbone.variables
    for variable, weight in zip(found, after, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), weight)

    model.save_weights(tmp_path / "adaptive.weights.h5")
    fresh = keras.models.clone_model(model)
    fresh.load_weights(tmp_path / "adaptive.weights.h5")
    assert fresh.get_layer("grade").backbone is not layer.backbone
    np.testing.assert_allclose(to_numpy(fresh(images)), expected, atol=1e-6)


PREDICT = """
import json, sys
import keras
import keras_perceptual
import numpy as np

model = keras.models.load_model(sys.argv[1])
images = np.load(sys.argv[2])
print(json.dumps(model.predict(images, verbose=0).tolist()))
"""


@pytest.mark.slow
def test_a_fresh_process_goes_on(tmp_path, images):
    """With the default network, whose weights are all in the file."""
    model = adaptive_model()
    rng = np.random.default_rng(1)
    model.set_weights(
        [w + 0.05 * rng.normal(size=w.shape) for w in model.get_weights()]
    )
    expected = model.predict(images, verbose=0)
    assert np.abs(expected - images).max() > 0.01
    model.save(tmp_path / "adaptive.keras")
    np.save(tmp_path / "images.npy", images)
    printed = run_python(
        PREDICT, tmp_path / "adaptive.keras", tmp_path / "images.npy"
    )
    np.testing.assert_allclose(
        json.loads(printed.splitlines()[-1]), expected, atol=1e-5
    )


def test_a_frozen_backbone_stays_so(images):
    backbone = convolutions()
    backbone.trainable = False
    model = adaptive_model(backbone=backbone)
    assert len(model.trainable_variables) == 3 + 2
    revived = keras.models.clone_model(model)
    assert len(revived.trainable_variables) == 3 + 2


def test_symbolic_shape_and_type():
    for dtype, expected in [
        ("float32", "float32"),
        ("mixed_float16", "float16"),
    ]:
        layer = AdaptiveLookupColorLayer(3, backbone=averages(), dtype=dtype)
        output = layer(keras.Input((8, None, 4), dtype="uint8"))
        assert output.shape == (None, 8, None, 4)
        assert output.dtype == expected


# The tables of images.


def test_the_table_of_an_image_is_what_it_is_looked_up_in(tmp_path, images):
    layer = filled(images)
    graded = to_numpy(layer(images))
    tables = to_numpy(layer.tables_of(images))
    assert tables.shape == (2, 4, 4, 4, 3)
    for number, table in enumerate(tables):
        path = tmp_path / f"{number}.cube"
        write_cube(path, ColorTable(cube=table))
        found = LookupColorLayer.from_cube(path)(images[number : number + 1])
        np.testing.assert_allclose(
            to_numpy(found)[0], graded[number], atol=1e-5
        )
    assert np.abs(tables[0] - tables[1]).max() > 1e-3


def test_tables_are_those_of_inference(images):
    """Dropout has no part in them, and asking first builds the layer."""
    backbone = keras.Sequential([averages(), keras.layers.Dropout(0.5)])
    layer = AdaptiveLookupColorLayer(3, backbone=backbone)
    first = to_numpy(layer.mixing_weights(images))
    assert layer.built
    np.testing.assert_array_equal(to_numpy(layer.mixing_weights(images)), first)
    (identity, _) = to_numpy(layer.tables_of(images))
    grid = np.stack(np.meshgrid(*[[0, 0.5, 1]] * 3, indexing="ij"), axis=-1)
    np.testing.assert_array_equal(identity, grid)


def test_no_images():
    """None come back, and they cost nothing."""
    layer = AdaptiveLookupColorLayer(
        4,
        backbone=convolutions(),
        mix_regularizer=keras.regularizers.L2(1.0),
    )
    images = np.zeros((0, 40, 60, 3), "float32")
    assert tuple(layer(images, training=True).shape) == images.shape
    assert [to_numpy(cost) for cost in layer.losses] == [0]
    assert tuple(layer.tables_of(images).shape) == (0, 4, 4, 4, 3)


def test_nothing_is_learned_from_no_images():
    norm = keras.layers.BatchNormalization(momentum=0.5)
    layer = AdaptiveLookupColorLayer(4, backbone=norm)
    layer(np.full((2, 4, 4, 3), 0.5, "float32"), training=True)
    before = norm.get_weights()
    layer(np.zeros((0, 4, 4, 3), "float32"), training=True)
    for was, is_now in zip(before, norm.get_weights(), strict=True):
        np.testing.assert_array_equal(is_now, was)


def test_a_config_without_a_backbone_has_the_default_one():
    layer = AdaptiveLookupColorLayer.from_config({"size": 3})
    assert layer.get_config()["backbone"] is None
    with pytest.raises(ValueError, match="needs a `backbone` that Keras can"):
        AdaptiveLookupColorLayer.from_config({"backbone": "small"})


def test_defaults_are_the_documented_ones():
    checks.check_defaults(AdaptiveLookupColorLayer)
