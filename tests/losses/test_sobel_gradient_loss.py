import checks
import keras
import numpy as np
import pytest
import torture
from reference import image_gradients as reference
from sampling import rarely, sample

from keras_perceptual.losses import SobelGradientLoss

CONFIGS = [
    {},
    {"norm": "l2"},
    {"norm": "charbonnier", "epsilon": 0.05},
    {"operator": "scharr", "padding": "valid"},
    {"operator": "prewitt", "padding": "replicate", "normalize": True},
    {"operator": "central", "norm": "charbonnier", "normalize": True},
    {"operator": "forward", "mode": "gdl", "norm": "l2", "padding": "valid"},
    {"mode": "gdl", "operator": "scharr", "scales": 2},
    {"mode": "magnitude"},
    {"mode": "magnitude", "operator": "forward", "epsilon": 0.5},
    {"mode": "magnitude", "norm": "charbonnier", "scales": 2, "epsilon": 0.1},
    {"scales": 3, "norm": "l2", "operator": "prewitt"},
    {"operator": "laplacian", "norm": 1.5},
    {"operator": "laplacian", "mode": "gdl", "padding": "valid"},
    {"operator": "laplacian_pyramid", "norm": "charbonnier"},
    {"operator": "laplacian_pyramid", "padding": "replicate", "scales": 2}
    | {"downsampling": "gaussian"},
    {"operator": "scharr", "scales": 2, "downsampling": "gaussian"},
    {"operator": "forward", "scales": 3, "downsampling": "stride"}
    | {"components": "sum", "padding": "replicate"},
    {"mode": "angle"},
    {"mode": "angle", "operator": "central", "normalize": True, "norm": "l2"},
    # Of two equal logarithms, the last digit may differ on JAX.
    {"log_space": True, "operator": "central", "epsilon": 0.2, "norm": "l2"},
    {"norm": 3, "mode": "magnitude", "epsilon": 0.2, "padding": "valid"},
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


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_channels_first(pair, config):
    last = sample_values(SobelGradientLoss(**config), *pair)
    first = sample_values(
        SobelGradientLoss(**config, data_format="channels_first"),
        *(np.moveaxis(x, -1, 1) for x in pair),
    )
    np.testing.assert_allclose(first, last, rtol=1e-5)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", CONFIGS, ids=label)
@pytest.mark.parametrize("value_range", [(0, 255), (-1, 1)], ids=str)
def test_the_range_of_the_pixels_does_not_matter(pair, config, value_range):
    low, high = value_range
    if low < 0 and config.get("log_space"):
        pytest.skip("there is no logarithm of less than nothing")
    expected = sample_values(SobelGradientLoss(**config), *pair)
    found = sample_values(
        SobelGradientLoss(**config, value_range=value_range),
        *(x * (high - low) + low for x in pair),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.tensorflow_only
def test_a_change_of_brightness_costs_nothing(pair):
    y_true, _ = pair
    for config in CONFIGS:
        loss = SobelGradientLoss(**config)
        # The border of MPRNet's pyramid is a step, see `laplacian_pyramid`.
        steps = ("laplacian_pyramid", "replicate")
        if not loss.log_space and (loss.operator, loss.padding) != steps:
            np.testing.assert_allclose(
                float(loss(y_true, y_true + 0.25)), 0, atol=1e-6
            )


def test_in_log_space_the_unit_of_a_depth_costs_nothing(pair):
    y_true = 0.1 + pair[0]
    loss = SobelGradientLoss(log_space=True, scales=2, value_range=(0, 3))
    np.testing.assert_allclose(float(loss(y_true, 2.5 * y_true)), 0, atol=1e-5)
    assert float(loss(y_true, 0.1 + pair[1])) > 1


def test_in_log_space_zero_and_less_have_a_gradient(pair):
    y_pred = -np.abs(pair[1])
    y_pred[0, 0, 0, 0] = 0.0
    loss = SobelGradientLoss("l2", log_space=True, epsilon=0.1)
    (found,) = checks.gradients(lambda x: loss(pair[0], x), y_pred)
    assert np.all(np.isfinite(found))
    assert np.mean(found != 0) > 0.99


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
    loss = SobelGradientLoss(
        "charbonnier", operator="forward", padding="replicate"
    )
    found = float(loss(np.zeros_like(small), small))
    # Four of 32 differences are 1e-6: d**2 / (2 * epsilon) each.
    np.testing.assert_allclose(found, 4 / 32 * 1e-12 / 2e-3, rtol=1e-4)


# Losses as published.


def test_densedepth(pair):
    found = sample_values(SobelGradientLoss.preset("densedepth"), *pair)
    expected = [
        reference.densedepth(*images) for images in zip(*pair, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_midas(rng, masked):
    pair = rng.uniform(0, 1, (2, 3, 17, 24, 1)).astype("float32")
    mask = np.ones((3, 17, 24), "float32")
    if masked:
        mask = rng.uniform(size=mask.shape) > 0.2
    loss = SobelGradientLoss.preset("midas", reduction=None)
    expected = [
        reference.midas(*(x[..., 0] for x in images), m.astype("float64"))
        for *images, m in zip(*pair, mask, strict=True)
    ]
    found = loss((pair[0], mask), pair[1])
    found = keras.ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("alpha", [1, 2])
def test_gradient_difference_loss(pair, alpha):
    loss = SobelGradientLoss.preset("gdl", norm=f"l{alpha}")
    found = sample_values(loss, *pair) * pair[0][0].size
    expected = [
        reference.gradient_difference(*images, alpha)
        for images in zip(*pair, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_mprnet(pair):
    found = sample_values(SobelGradientLoss.preset("mprnet"), *pair) + 1e-3
    expected = [reference.mprnet(*images) for images in zip(*pair, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_presets_take_other_arguments():
    loss = SobelGradientLoss.preset("midas", value_range=(0, 80), scales=2)
    assert loss.value_range == (0, 80)
    assert (loss.scales, loss.downsampling) == (2, "stride")
    with pytest.raises(ValueError, match=r"Did you mean 'midas'.*'midaz'"):
        SobelGradientLoss.preset("midaz")


# Masks.


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", CONFIGS, ids=label)
def test_a_mask_of_ones_changes_nothing(rng, config):
    pair = rng.uniform(0, 1, (2, 2, 16, 16, 2)).astype("float32")
    loss = SobelGradientLoss(**config)
    mask = np.ones((2, 16, 16), "float32")
    found = float(loss((pair[0], mask), pair[1]))
    np.testing.assert_allclose(found, float(loss(*pair)), rtol=1e-5)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("config", sample(CONFIGS), ids=label)
@pytest.mark.tensorflow_only
def test_what_a_mask_hides_does_not_matter(rng, config, data_format):
    check_hidden_pixels(rng, config, data_format)


@pytest.mark.parametrize(
    ("config", "data_format"),
    [
        ({"scales": 2, "downsampling": "gaussian"}, "channels_first"),
        ({"mode": "magnitude"}, "channels_last"),
    ],
    ids=str,
)
def test_hidden_pixels_on_every_backend(rng, config, data_format):
    check_hidden_pixels(rng, config, data_format)


def check_hidden_pixels(rng, config, data_format):
    y_true, y_pred = rng.uniform(0, 1, (2, 2, 24, 24, 2)).astype("float32")
    mask = np.ones((2, 24, 24), "float32")
    mask[:, 3:6, 15:] = 0.0
    mask[1, -1] = 0.0
    loss = SobelGradientLoss(**config, data_format=data_format)

    def laid_out(x):
        first = data_format == "channels_first"
        return np.moveaxis(x, -1, 1) if first else x

    def value(x, target):
        return loss((target, mask), x)

    hidden = mask == 0
    dirty = y_true.copy()
    dirty[hidden] = np.nan
    strayed = y_pred.copy()
    strayed[hidden] = -7.0
    y_true, y_pred, dirty, strayed = map(
        laid_out, (y_true, y_pred, dirty, strayed)
    )
    expected = float(value(y_pred, y_true))
    assert expected > 0
    np.testing.assert_allclose(float(value(strayed, dirty)), expected)
    (found,) = checks.gradients(lambda x: value(x, dirty), strayed)
    first = data_format == "channels_first"
    found = np.moveaxis(found, 1, -1) if first else found
    assert np.all(np.isfinite(found))
    assert np.all(found[hidden] == 0)
    # All slopes at a distance count as they do without a mask.
    (whole,) = checks.gradients(lambda x: loss(y_true, x), y_pred)
    whole = np.moveaxis(whole, 1, -1) if first else whole
    if loss.scales == 1 and loss.padding != "valid":
        share = mask[0].size / mask[0].sum()
        np.testing.assert_allclose(
            found[0, 12:, :8], share * whole[0, 12:, :8], rtol=1e-4, atol=1e-7
        )


def test_a_slope_that_depends_on_a_hidden_pixel_does_not_count():
    y_true = np.zeros((1, 4, 5, 1), "float32")
    y_pred = y_true.copy()
    # An edge of one between the second and the third column.
    y_pred[:, :, 2:] = 1.0
    mask = np.ones((1, 4, 5))
    mask[0, 1, 2] = 0.0
    loss = SobelGradientLoss(operator="forward", padding="replicate")
    # Three of four rows have their slope of one, beside zeros along the height.
    found = float(loss((y_true, mask), y_pred))
    np.testing.assert_allclose(found, 3 / 19 / 2, rtol=1e-6)


def test_a_mask_of_zeros_is_a_loss_of_zero(pair):
    loss = SobelGradientLoss(reduction=None)
    mask = np.zeros(pair[0].shape[:3], "float32")
    mask[0] = 1.0
    found = keras.ops.convert_to_numpy(loss((pair[0], mask), pair[1]))
    np.testing.assert_array_equal(found[1:], 0)
    assert found[0] > 0
    (gradient,) = checks.gradients(
        lambda x: keras.ops.sum(loss((pair[0], mask), x)), pair[1]
    )
    assert np.all(gradient[1:] == 0)


@pytest.mark.slow
def test_a_mask_as_weights_of_pixels_in_fit(rng):
    images = rng.uniform(0, 1, (4, 9, 12, 3)).astype("float32")
    target = images.copy()
    mask = np.ones((4, 9, 12), "float32")
    mask[:, :3] = 0.0
    target[mask == 0] = np.nan
    model = edge_model()
    loss = SobelGradientLoss.preset("midas", scales=2)
    model.compile("sgd", loss)
    weighted = model.evaluate(images, target, sample_weight=mask, verbose=0)
    expected = float(loss((target, mask), model.predict(images, verbose=0)))
    np.testing.assert_allclose(weighted, expected, rtol=1e-5)
    history = model.fit(images, target, sample_weight=mask, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_masks_that_do_not_fit(pair):
    loss = SobelGradientLoss()
    mask = np.ones((3, 9, 11), "float32")
    with pytest.raises(ValueError, match=r"mask.*mask.shape=\(3, 9, 11\)"):
        loss((pair[0], mask), pair[1])
    mask = np.ones((3, 9, 12), "float32")
    with pytest.raises(ValueError, match=r"two masks"):
        loss((pair[0], mask), pair[1], sample_weight=mask)
    with pytest.raises(ValueError, match=r"no gradient.*y_pred.dtype=uint8"):
        loss((pair[0], mask), pair[1].astype("uint8"))


# Gradients.


@pytest.mark.parametrize("config", sample(CONFIGS, 2), ids=label)
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


@pytest.mark.parametrize("padding", ["reflect", "replicate", "valid"])
@pytest.mark.parametrize("operator", [*reference.KERNELS, "laplacian"])
def test_value_and_gradient_are_those_of_the_matrix(rng, operator, padding):
    """To 1e-6 on every backend, border included."""
    shape = (1, 5, 6, 2)
    y_true, y_pred = rng.uniform(0, 1, (2, *shape)).astype("float32")
    matrix = np.stack(
        [
            reference.slopes(basis.reshape(shape), operator, padding).ravel()
            for basis in np.eye(y_pred.size)
        ],
        axis=1,
    )
    slopes = matrix @ (y_pred.astype("float64") - y_true).ravel()
    values = {"l1": np.abs(slopes), "l2": slopes**2}
    pulls = {"l1": np.sign(slopes), "l2": 2 * slopes}
    # An operator that mirrors a border is flat there, but for rounding.
    pulls["l1"][np.abs(slopes) < 1e-12] = 0
    for norm, value in values.items():
        loss = SobelGradientLoss(norm, operator=operator, padding=padding)
        np.testing.assert_allclose(
            float(loss(y_true, y_pred)), value.mean(), rtol=1e-6
        )
        (found,) = checks.gradients(lambda x, f=loss: f(y_true, x), y_pred)
        expected = matrix.T @ pulls[norm] / len(matrix)
        np.testing.assert_allclose(
            found.ravel(), expected, atol=1e-6 * np.abs(expected).max()
        )


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


@pytest.mark.parametrize("config", sample(CONFIGS), ids=label)
def test_gradient_is_finite_where_images_are_flat(pair, config):
    y_true, _ = pair
    flat = np.full_like(y_true, 0.5)
    loss = SobelGradientLoss(**config)
    for target in (y_true, flat):
        (gradient,) = checks.gradients(lambda x, t=target: loss(t, x), flat)
        assert np.all(np.isfinite(gradient))
    if loss.mode in ("component", "angle"):
        (gradient,) = checks.gradients(lambda x: loss(y_true, x), flat)
        assert np.any(gradient != 0)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", sample(CONFIGS, 4), ids=label)
def test_nothing_that_is_not_finite(config):
    loss = SobelGradientLoss(**config, check_range="off")
    torture.check_finite(loss, 8, 12, dtypes=("float32", "bfloat16"))


@pytest.mark.parametrize(
    "config",
    sample(
        [
            {"mode": "angle"},
            {"mode": "magnitude", "operator": "scharr"},
            {"operator": "laplacian_pyramid", "norm": "charbonnier"},
            {"log_space": True, "norm": 1.5},
        ]
    ),
    ids=label,
)
def test_nothing_that_is_not_finite_on_every_backend(config):
    loss = SobelGradientLoss(**config, check_range="off")
    torture.check_finite(loss, 8, 12, dtypes=("float32",))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 2), (5, 64)])
def test_the_least_and_the_narrowest(rng, size):
    y_true, y_pred = rng.uniform(0, 1, (2, 1, *size, 2)).astype("float32")
    for padding in ("reflect", "replicate"):
        loss = SobelGradientLoss(padding=padding, mode="magnitude")
        if 1 in size and padding == "reflect":
            with pytest.raises(ValueError, match="at least 2 pixels"):
                loss(y_true, y_pred)
            continue
        (found,) = checks.gradients(lambda x, f=loss: f(y_true, x), y_pred)
        assert np.all(np.isfinite(found))


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_large_images_keep_their_digits(rng):
    y_true = rng.uniform(0, 1, (1, 1500, 2000, 1)).astype("float32")
    y_pred = rng.uniform(0, 1, y_true.shape).astype("float32")
    np.testing.assert_allclose(
        float(SobelGradientLoss()(y_true, y_pred)),
        reference.edge_loss(y_true, y_pred)[0],
        rtol=1e-5,
    )


# Images turned round.

TURNS = {
    "upside_down": lambda x: x[:, ::-1],
    "mirrored": lambda x: x[:, :, ::-1],
    "transposed": lambda x: np.swapaxes(x, 1, 2),
    "channels": lambda x: x[..., ::-1],
}


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("config", sample(CONFIGS, 2), ids=label)
def test_a_turned_picture_costs_the_same(rng, config, turn):
    # An odd side: the pixels that are taken are the same from both ends.
    pair = rng.uniform(0, 1, (2, 2, 17, 17, 3)).astype("float32")
    loss = SobelGradientLoss(**config)
    # Forward differences look ahead, and only one way round; of an odd side,
    # averages leave out the last row.
    if turn in ("upside_down", "mirrored") and (
        loss.operator == "forward" or loss.scales > 1
    ):
        pytest.skip("has a direction")
    turned = [np.ascontiguousarray(TURNS[turn](x)) for x in pair]
    np.testing.assert_allclose(
        float(loss(*turned)), float(loss(*pair)), rtol=1e-5
    )


# What every loss keeps to.


@pytest.mark.parametrize("config", sample(CONFIGS), ids=label)
def test_contract(pair, config):
    checks.check_loss_contract(SobelGradientLoss(**config), *pair)


def test_config_keeps_every_argument():
    arguments = {
        "norm": "charbonnier",
        "operator": "scharr",
        "mode": "gdl",
        "scales": 3,
        "downsampling": "gaussian",
        "components": "sum",
        "normalize": True,
        "log_space": True,
        "padding": "valid",
        "epsilon": 0.25,
        "value_range": [0.0, 10.0],
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


def test_depths_of_sixteen_bits(rng):
    y_true = rng.integers(0, 2**16, (1, 6, 7, 1)).astype("uint16")
    y_pred = rng.uniform(0, 2**16, y_true.shape).astype("float32")
    loss = SobelGradientLoss(value_range=(0, 65535))
    expected = reference.edge_loss(y_true, y_pred, value_range=(0, 65535))
    np.testing.assert_allclose(float(loss(y_true, y_pred)), expected, rtol=1e-5)


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
        ({"norm": 0.5}, r"`norm`.*at least 1.*no gradient.*norm=0.5"),
        ({"norm": True}, r"`norm`.*Received: norm=True"),
        ({"norm": float("nan")}, r"`norm`.*Received: norm=nan"),
        ({"downsampling": "max"}, r"`downsampling`.*'stride'.*Received"),
        ({"components": "max"}, r"`components`.*'sum'.*Received"),
        (
            {"operator": "laplacian", "mode": "magnitude"},
            r"mode='gdl'.*operator='laplacian', mode='magnitude'",
        ),
        (
            {"operator": "laplacian_pyramid", "padding": "valid"},
            r"padding='reflect'.*Received: padding='valid'",
        ),
        (
            {"log_space": True, "value_range": (-1, 1)},
            r"`value_range`.*\(0, 10\).*value_range=\(-1, 1\)",
        ),
        ({"operator": "sobol"}, r"`operator`. Did you mean 'sobel'"),
        ({"mode": "both"}, r"`mode`.*'gdl'.*Received: mode='both'"),
        ({"padding": "same"}, r"`padding`.*Received: padding='same'"),
        (
            {"scales": 0},
            r"`scales`.*at least 1 and at most 20. Received: scales=0",
        ),
        ({"scales": 1.5}, r"whole number.*Received: scales=1.5"),
        ({"epsilon": 0}, r"`epsilon`.*above 0. Received: epsilon=0"),
        ({"value_range": 255}, r"`value_range`.*Received: value_range=255"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SobelGradientLoss(**arguments)


@pytest.mark.parametrize(
    ("config", "least"),
    [
        ({"scales": 3}, 8),
        ({"scales": 3, "downsampling": "stride"}, 5),
        ({"scales": 3, "downsampling": "gaussian"}, 5),
        (
            {"operator": "laplacian_pyramid", "scales": 2}
            | {"downsampling": "gaussian"},
            5,
        ),
        ({"operator": "laplacian_pyramid", "padding": "replicate"}, 1),
        ({"operator": "laplacian", "padding": "valid"}, 3),
        (
            {"padding": "valid", "operator": "forward"}
            | {"downsampling": "gaussian", "scales": 2},
            3,
        ),
        ({"padding": "replicate", "downsampling": "stride", "scales": 4}, 1),
    ],
    ids=str,
)
def test_the_smallest_images(rng, config, least):
    loss = SobelGradientLoss(**config)
    pair = rng.uniform(0, 1, (2, 1, least, least, 1)).astype("float32")
    assert np.isfinite(float(loss(*pair)))
    if least > 1:
        with pytest.raises(ValueError, match=f"at least {least} pixels"):
            loss(*(x[:, 1:] for x in pair))


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
    [
        {},
        rarely({"mode": "magnitude", "scales": 2, "norm": "charbonnier"}),
    ],
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
    [
        *sample([(config, False) for config in CONFIGS], 4),
        ({}, True),
        rarely(({"mode": "magnitude", "scales": 2}, True)),
    ],
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


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", sample(CONFIGS[::3]), ids=label)
def test_a_compiled_call_in_a_tensorflow_graph_computes_the_same(pair, config):
    """Where the sizes are known, a graph has the loss compiled by XLA."""
    import tensorflow as tf

    loss = SobelGradientLoss(**config)

    @tf.function
    def gradient(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    y_true, y_pred = (tf.constant(x) for x in pair)
    value, found = gradient(y_true, y_pred)
    np.testing.assert_allclose(value, loss(y_true, y_pred), rtol=1e-6)
    (expected,) = checks.gradients(lambda x: loss(y_true, x), pair[1])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("components", ["mean", "sum"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_map_has_the_loss_for_its_mean(pair, components, data_format):
    loss = SobelGradientLoss(components=components, data_format=data_format)
    if data_format == "channels_first":
        pair = [np.moveaxis(x, -1, 1) for x in pair]
    found = keras.ops.convert_to_numpy(loss.spatial_map(*pair))
    assert found.ndim == 3
    np.testing.assert_allclose(
        found.mean(axis=(1, 2)),
        keras.ops.convert_to_numpy(loss.per_image(*pair)),
        rtol=1e-5,
    )


def test_defaults_are_the_documented_ones():
    checks.check_defaults(SobelGradientLoss)
