import checks
import keras
import numpy as np
import pytest
from reference import image_gradients as reference

from keras_perceptual.losses import SobelGradientLoss

CONFIGS = [
    {},
    {"norm": "l2"},
    {"norm": "charbonnier", "epsilon": 0.05},
    {"operator": "scharr", "padding": "valid"},
    {"operator": "prewitt", "padding": "edge", "normalize": True},
    {"operator": "central", "norm": "charbonnier", "normalize": True},
    {"operator": "forward", "mode": "gdl", "norm": "l2", "padding": "valid"},
    {"mode": "gdl", "operator": "scharr", "scales": 2},
    {"mode": "magnitude"},
    {"mode": "magnitude", "operator": "forward", "epsilon": 0.5},
    {"mode": "magnitude", "norm": "charbonnier", "scales": 2, "epsilon": 0.1},
    {"scales": 3, "norm": "l2", "operator": "prewitt"},
]


def label(config):
    return "-".join(str(value) for value in config.values()) or "default"


@pytest.fixture
def pair(rng):
    shape = (3, 9, 12, 3)
    return (
        rng.uniform(0, 1, shape).astype("float32"),
        rng.uniform(0, 1, shape).astype("float32"),
    )


def sample_values(loss, y_true, y_pred):
    return keras.ops.convert_to_numpy(
        loss.call(
            keras.ops.convert_to_tensor(y_true),
            keras.ops.convert_to_tensor(y_pred),
        )
    )


# Values.


@pytest.mark.tensorflow_only
def test_default_equals_tensorflow_sobel_edges(pair):
    import tensorflow as tf

    true, pred = (tf.image.sobel_edges(tf.constant(x)) for x in pair)
    expected = tf.reduce_mean(tf.abs(true - pred), axis=(1, 2, 3, 4))
    found = sample_values(SobelGradientLoss(), *pair)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(reference.edge_loss(*pair), expected, rtol=1e-6)


@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_equals_the_numpy_twin(pair, config):
    found = sample_values(SobelGradientLoss(**config), *pair)
    expected = reference.edge_loss(*pair, **config)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_any_number_of_channels(rng, channels):
    pair = rng.uniform(0, 1, (2, 2, 6, 5, channels)).astype("float32")
    found = sample_values(SobelGradientLoss(), *pair)
    np.testing.assert_allclose(found, reference.edge_loss(*pair), rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_channels_first(pair, config):
    last = sample_values(SobelGradientLoss(**config), *pair)
    first = sample_values(
        SobelGradientLoss(**config, data_format="channels_first"),
        *(np.moveaxis(x, -1, 1) for x in pair),
    )
    np.testing.assert_allclose(first, last, rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=label)
@pytest.mark.parametrize("value_range", [(0, 255), (-1, 1)], ids=str)
def test_the_range_of_the_pixels_does_not_matter(pair, config, value_range):
    low, high = value_range
    expected = sample_values(SobelGradientLoss(**config), *pair)
    found = sample_values(
        SobelGradientLoss(**config, value_range=value_range),
        *(x * (high - low) + low for x in pair),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_change_of_brightness_costs_nothing(pair):
    y_true, _ = pair
    for config in CONFIGS:
        loss = SobelGradientLoss(**config)
        np.testing.assert_allclose(
            float(loss(y_true, y_true + 0.25)), 0, atol=1e-6
        )


def test_gdl_does_not_mind_an_edge_the_other_way_round(pair):
    y_true, _ = pair
    for mode in ("gdl", "magnitude"):
        loss = SobelGradientLoss(mode=mode)
        np.testing.assert_allclose(
            float(loss(y_true, 1 - y_true)), 0, atol=1e-5
        )
    assert float(SobelGradientLoss()(y_true, 1 - y_true)) > 1


def test_charbonnier_lies_between_its_limits(pair):
    l1 = float(SobelGradientLoss()(*pair))
    fine = float(SobelGradientLoss("charbonnier", epsilon=1e-6)(*pair))
    np.testing.assert_allclose(fine, l1, rtol=1e-5)
    # Far below epsilon it is the square, over twice epsilon.
    l2 = float(SobelGradientLoss("l2")(*pair))
    coarse = float(SobelGradientLoss("charbonnier", epsilon=1e3)(*pair))
    np.testing.assert_allclose(coarse, l2 / 2e3, rtol=1e-4)


def test_charbonnier_does_not_lose_small_differences():
    small = np.zeros((1, 4, 4, 1), "float32")
    small[0, 2, 2, 0] = 1e-6
    loss = SobelGradientLoss("charbonnier", operator="forward", padding="edge")
    found = float(loss(np.zeros_like(small), small))
    # Four of 32 differences are 1e-6: d**2 / (2 * epsilon) each.
    np.testing.assert_allclose(found, 4 / 32 * 1e-12 / 2e-3, rtol=1e-4)


# Gradients.


@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_finite_differences(rng, config):
    # Far apart, so that no absolute value turns round within a step.
    y_true = rng.uniform(0, 1, (2, 8, 8, 2)).astype("float32")
    y_pred = 3 * rng.uniform(0, 1, (2, 8, 8, 2)).astype("float32")
    loss = SobelGradientLoss(**config, value_range=(0, 3))
    checks.check_finite_differences(
        lambda x: loss.call(keras.ops.convert_to_tensor(y_true), x)[0],
        y_pred,
        step=3e-3,
    )


@pytest.mark.parametrize("padding", ["reflect", "edge", "valid"])
@pytest.mark.parametrize("operator", ["sobel", "scharr", "central", "forward"])
def test_gradient_is_the_transpose_of_the_operator(rng, operator, padding):
    """Exact, border included: the squared norm of a linear operator."""
    shape = (1, 4, 5, 2)
    y_true = np.zeros(shape, "float32")
    y_pred = rng.uniform(0, 1, shape).astype("float32")
    loss = SobelGradientLoss("l2", operator=operator, padding=padding)
    (found,) = checks.gradients(lambda x: loss(y_true, x), y_pred)
    matrix = np.stack(
        [
            reference.slopes(basis.reshape(shape), operator, padding).ravel()
            for basis in np.eye(y_pred.size)
        ],
        axis=1,
    )
    expected = 2 * matrix.T @ matrix @ y_pred.ravel() / len(matrix)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.tensorflow_only
def test_gradients_of_gradients(pair):
    """As through TensorFlow's own operator, for penalties on gradients."""
    import tensorflow as tf

    y_true, y_pred = (tf.constant(x) for x in pair)

    def penalty(loss):
        with tf.GradientTape() as outer:
            outer.watch(y_pred)
            with tf.GradientTape() as inner:
                inner.watch(y_pred)
                value = loss(y_true, y_pred)
            slope = inner.gradient(value, y_pred)
            steepness = tf.reduce_sum(slope**2)
        return outer.gradient(steepness, y_pred)

    def with_tensorflow(y_true, y_pred):
        edges = tf.image.sobel_edges(y_true) - tf.image.sobel_edges(y_pred)
        return tf.reduce_mean(edges**2)

    np.testing.assert_allclose(
        penalty(SobelGradientLoss("l2")), penalty(with_tensorflow), rtol=1e-4
    )


@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_gradient_is_finite_where_images_are_flat(pair, config):
    y_true, _ = pair
    flat = np.full_like(y_true, 0.5)
    loss = SobelGradientLoss(**config)
    for target in (y_true, flat):
        (gradient,) = checks.gradients(lambda x, t=target: loss(t, x), flat)
        assert np.all(np.isfinite(gradient))
    if loss.mode == "component":
        (gradient,) = checks.gradients(lambda x: loss(y_true, x), flat)
        assert np.any(gradient != 0)


# What every loss keeps to.


@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_contract(pair, config):
    checks.check_loss_contract(SobelGradientLoss(**config), *pair)


def test_config_keeps_every_argument():
    arguments = {
        "norm": "charbonnier",
        "operator": "scharr",
        "mode": "gdl",
        "scales": 3,
        "normalize": True,
        "padding": "valid",
        "epsilon": 0.25,
        "value_range": [-1.0, 1.0],
        "check_range": "raise",
        "data_format": "channels_first",
        "reduction": "sum",
        "name": "edges",
        "dtype": "float64",
    }
    revived = checks.check_config(SobelGradientLoss(**arguments))
    assert revived.get_config() == arguments


def test_integer_targets_are_fine_and_integer_predictions_are_not(pair):
    y_pred = 255 * pair[1]
    y_true = (255 * pair[0]).astype("uint8")
    loss = SobelGradientLoss(value_range=(0, 255))
    np.testing.assert_allclose(
        float(loss(y_true, y_pred)),
        float(loss(y_true.astype("float32"), y_pred)),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match=r"no gradient.*y_pred.dtype=uint8"):
        loss(y_pred, y_true)


def test_half_precision_computes_in_float32(pair):
    half = [keras.ops.cast(x, "bfloat16") for x in pair]
    loss = SobelGradientLoss(reduction=None, dtype="bfloat16")
    found = keras.ops.convert_to_numpy(loss(*half))
    assert found.dtype == "float32"
    # Exact for what is left of the images in eight bits.
    rounded = [
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in half
    ]
    np.testing.assert_allclose(found, reference.edge_loss(*rounded), rtol=1e-5)


def test_a_loss_of_half_precision_stays_near_its_value(pair):
    loss = SobelGradientLoss(dtype="bfloat16")
    exact = reference.edge_loss(*pair).mean()
    np.testing.assert_allclose(float(loss(*pair)), exact, rtol=2e-2)


# JAX has no float64 by default, and on PyTorch `keras.ops.mean` averages in
# float32.
@pytest.mark.tensorflow_only
def test_float64(pair):
    pair = [x.astype("float64") for x in pair]
    loss = SobelGradientLoss("l2", dtype="float64")
    found = keras.ops.convert_to_numpy(
        loss.call(*(keras.ops.convert_to_tensor(x, "float64") for x in pair))
    )
    assert found.dtype == "float64"
    expected = reference.edge_loss(*pair, norm="l2")
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "l3"}, r"`norm`.*\['l1', 'l2', 'charbonnier'\]"),
        ({"operator": "sobol"}, r"`operator`. Did you mean 'sobel'"),
        ({"mode": "both"}, r"`mode`.*'gdl'.*Received: mode='both'"),
        ({"padding": "same"}, r"`padding`.*Received: padding='same'"),
        ({"scales": 0}, r"`scales`.*at least 1. Received: scales=0"),
        ({"scales": 1.5}, r"whole number.*Received: scales=1.5"),
        ({"epsilon": 0}, r"`epsilon`.*above 0. Received: epsilon=0"),
        ({"value_range": 255}, r"`value_range`.*Received: value_range=255"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SobelGradientLoss(**arguments)


def test_images_too_small_for_the_coarsest_scale(pair):
    with pytest.raises(
        ValueError,
        match=r"SobelGradientLoss needs images at least 16 pixels.*4 scales.*"
        r"fewer scales.*\(3, 9, 12, 3\)",
    ):
        SobelGradientLoss(scales=4)(*pair)
    # The least that three scales can do with.
    assert float(SobelGradientLoss(scales=3)(*(x[:, :8] for x in pair))) > 0


# In a model.


def edge_model():
    return keras.Sequential(
        [
            keras.layers.Input((9, 12, 3)),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )


@pytest.mark.parametrize(
    "config",
    [{}, {"mode": "magnitude", "scales": 2, "norm": "charbonnier"}],
    ids=label,
)
def test_fit_save_and_load(tmp_path, pair, config):
    model = edge_model()
    model.compile(keras.optimizers.Adam(0.01), loss=SobelGradientLoss(**config))
    blurred, sharp = pair
    history = model.fit(blurred, sharp, epochs=8, batch_size=2, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]

    model.save(tmp_path / "edges.keras")
    loaded = keras.models.load_model(tmp_path / "edges.keras")
    assert type(loaded.loss) is SobelGradientLoss
    assert loaded.loss.get_config() == model.loss.get_config()
    np.testing.assert_allclose(
        loaded.evaluate(blurred, sharp, verbose=0),
        model.evaluate(blurred, sharp, verbose=0),
        rtol=1e-6,
    )


def test_sample_weight_in_fit_leaves_an_image_out(pair):
    model = edge_model()
    model.compile(loss=SobelGradientLoss())
    blurred, sharp = pair
    weights = np.array([0.0, 2.0, 0.0], "float32")
    weighted = model.evaluate(
        blurred, sharp, sample_weight=weights, batch_size=3, verbose=0
    )
    only = model.evaluate(blurred[1:2], sharp[1:2], verbose=0)
    np.testing.assert_allclose(weighted, 2 * only / 3, rtol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("config", "jit_compile"),
    [(config, False) for config in CONFIGS]
    + [({}, True), ({"mode": "magnitude", "scales": 2}, True)],
    ids=str,
)
def test_unknown_sizes_in_a_tensorflow_graph(pair, config, jit_compile):
    import tensorflow as tf

    loss = SobelGradientLoss(**config)
    spec = tf.TensorSpec([None, None, None, 3])

    @tf.function(input_signature=[spec, spec], jit_compile=jit_compile)
    def gradient(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    for height in (9, 8):
        y_true, y_pred = (tf.constant(x[:, :height]) for x in pair)
        value, found = gradient(y_true, y_pred)
        np.testing.assert_allclose(value, loss(y_true, y_pred), rtol=1e-5)
        (expected,) = checks.gradients(
            lambda x, t=y_true: loss(t, x), y_pred.numpy()
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)
