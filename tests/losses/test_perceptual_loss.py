import json
import os
import pathlib

import checks
import distortions
import keras
import numpy as np
import pytest
import torture
from alexnet_losses import alexnet, label
from sampling import rarely, sample

from keras_perceptual import PerceptualLoss
from keras_perceptual.features.balance import MEAN_DISTANCES

TESTS = pathlib.Path(__file__).parents[1]
GOLDEN = json.loads((TESTS / "reference/golden_features.json").read_text())

CONFIGS = [
    {},
    {"backbone": "vgg16"},
    {"backbone": "vgg16", "weights": "random", "layers": ["relu2_2"]},
    {"layers": {"relu1": 0.5, "conv3": 2.0}, "distance": "mae"},
    {"distance": "charbonnier", "normalize_features": True},
    {"distance": "cosine", "layers": "conv2"},
    {"distance": "lost"},
    {"distance": "lost", "added_weight": 0.5, "normalize_features": True},
    {"style_weight": 0.3, "content_weight": 0.0},
    {"style_weight": 2.0, "normalize_features": True},
    {"layers": ["conv4:before_activation"], "pooling": "average"},
    {
        "layers": ["relu1"],
        "style_weight": 1e-6,
        "style_layers": ["relu2"],
        "gram_normalization": "none",
    },
    {"layers": ["relu2"], "scales": 2, "pooling": "l2"},
]


def golden_pair():
    """The pictures that the golden values were computed from."""
    skimage_data = pytest.importorskip("skimage.data")
    image = skimage_data.astronaut()[None, 96:160, 192:256]
    image = image.astype("float32") / 255
    return image, 0.1 + 0.8 * np.roll(image, (1, 2), axis=(1, 2))


@pytest.fixture
def pair(rng):
    """Smooth images and noisy copies: features like those of photographs."""
    y, x = np.mgrid[0:1:40j, 0:1:36j]
    waves = [np.sin(k * x + k * k * y) for k in range(1, 10)]
    images = 0.5 + 0.4 * np.stack(waves).reshape(3, 3, 40, 36)
    images = images.transpose(0, 2, 3, 1).astype("float32")
    noisy = images + rng.normal(0, 0.05, images.shape).astype("float32")
    return images, np.clip(noisy, 0, 1)


@pytest.mark.parametrize("config", sample(CONFIGS, 2), ids=label)
def test_contract(config, pair):
    checks.check_loss_contract(alexnet(**config), *pair)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("config", sample(CONFIGS, 4), ids=label)
def test_gradient_agrees_with_finite_differences(config, rng):
    """In float64, where steps are small enough to miss the kinks of ReLU.

    Keras averages in float32 on JAX and PyTorch, whose gradients are compared
    with PyTorch's own below.
    """
    loss = alexnet(dtype="float64", **config)
    images, noisy = rng.uniform(size=(2, 1, 32, 32, 3))
    checks.check_finite_differences(
        lambda y_pred: loss(images, y_pred), noisy, step=1e-7, tolerance=1e-4
    )


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_gradient_agrees_with_pytorch(backbone):
    image, other = golden_pair()
    ((layer, expected),) = GOLDEN[f"{backbone}_slopes"].items()
    loss = PerceptualLoss(backbone, [layer])
    (gradient,) = checks.gradients(lambda p: loss(image, p), other)
    directions = np.random.default_rng(0).uniform(-1, 1, (4, *image.shape[1:]))
    found = [np.sum(gradient * direction) for direction in directions]
    np.testing.assert_allclose(
        found, expected, atol=1e-3 * np.max(np.abs(expected))
    )


def test_no_gradient_flows_to_the_target(pair):
    loss = alexnet(style_weight=1.0)
    gradient, _ = checks.gradients(lambda t, p: loss(t, p), *pair)
    assert gradient is None or not np.any(gradient)


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
@pytest.mark.parametrize("kind", ["mse", "mae", "cosine", "gram"])
def test_agrees_with_pytorch(backbone, kind):
    image, other = golden_pair()
    layers = {"vgg16": ["relu2_2", "relu4_3"], "alexnet": ["conv2", "conv5"]}
    kwargs = (
        {"content_weight": 0, "style_weight": 1}
        if kind == "gram"
        else {"distance": kind}
    )
    for name in layers[backbone]:
        found = float(PerceptualLoss(backbone, [name], **kwargs)(image, other))
        layer = name.replace("relu", "block").replace("_", "_conv")
        for weights, tolerance in (("packaged", 2e-5), ("original", 2e-3)):
            expected = GOLDEN[f"{backbone}_{weights}"][layer][kind]
            np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_torch_names_and_keras_names_mean_the_same(pair):
    a = PerceptualLoss("vgg16", ["relu1_2"], weights="random")
    b = PerceptualLoss("vgg16", ["block1_conv2"], weights="random")
    assert float(a(*pair)) == float(b(*pair))


def test_taps_are_summed_with_their_weights(pair):
    single = [
        float(alexnet(layers=[name])(*pair)) for name in ("conv1", "conv4")
    ]
    both = alexnet(layers={"conv1": 0.25, "relu4": 3.0})
    np.testing.assert_allclose(
        float(both(*pair)), 0.25 * single[0] + 3 * single[1], rtol=1e-5
    )


@pytest.mark.parametrize("style_weight", [0.0, 0.7])
def test_default_taps_carry_their_constants(pair, style_weight):
    default = alexnet(distance="mae", style_weight=style_weight)
    expected = 0.0
    for tap, means in MEAN_DISTANCES["alexnet", "torchvision"].items():
        content = float(alexnet(layers=[tap], distance="mae")(*pair))
        style = float(
            alexnet(layers=[tap], content_weight=0, style_weight=1)(*pair)
        )
        expected += content / means["mae"] / 5
        expected += style_weight * style / means["gram"] / 5
    np.testing.assert_allclose(float(default(*pair)), expected, rtol=1e-4)


@pytest.mark.parametrize("value_range", [(-1, 1), (0, 255)])
def test_a_picture_has_the_same_loss_in_any_range(pair, value_range):
    low, high = value_range
    rescaled = [low + x * (high - low) for x in pair]
    np.testing.assert_allclose(
        float(alexnet(value_range=value_range)(*rescaled)),
        float(alexnet()(*pair)),
        rtol=1e-3,
    )


def test_gray_images_are_repeated(pair):
    gray = [x[..., :1] for x in pair]
    repeated = [np.repeat(x, 3, -1) for x in gray]
    loss = alexnet()
    np.testing.assert_allclose(
        float(loss(*gray)), float(loss(*repeated)), rtol=1e-6
    )


def test_channels_first(pair):
    moved = [x.transpose(0, 3, 1, 2) for x in pair]
    np.testing.assert_allclose(
        float(alexnet(data_format="channels_first")(*moved)),
        float(alexnet()(*pair)),
        rtol=1e-5,
    )


def test_sizes_may_change_from_batch_to_batch(pair):
    loss = alexnet()
    for side in (32, 33, 36):
        cropped = [x[:, :side, :side] for x in pair]
        assert float(loss(*cropped)) > 0


def test_half_precision_stays_near(pair):
    exact = float(alexnet()(*pair))
    for dtype in ("mixed_float16", "bfloat16"):
        found = float(alexnet(dtype=dtype)(*pair))
        assert found != exact
        np.testing.assert_allclose(found, exact, rtol=0.02)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_global_policy_does_not_reach_the_network(pair, policy):
    exact = float(alexnet()(*pair))
    keras.config.set_dtype_policy(policy)
    assert float(alexnet()(*pair)) == exact


@pytest.mark.slow
def test_flat_and_extreme_images_have_finite_gradients():
    def check(loss, fill):
        flat = np.full((1, 32, 32, 3), fill, "float32")
        (gradient,) = checks.gradients(lambda p: loss(1 - flat, p), flat)
        assert np.all(np.isfinite(gradient))

    for config in CONFIGS:
        loss = alexnet(**config)
        for fill in (0.0, 1.0):
            check(loss, fill)


def small_backbone():
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, activation="relu", name="first"),
            keras.layers.Conv2D(4, 3, strides=2, name="second"),
        ],
        name="small",
    )


def test_a_model_as_backbone(pair):
    model = small_backbone()
    loss = PerceptualLoss(model, {"first": 1.0, "second": 0.5})
    expected = 0.0
    for name, weight in (("first", 1.0), ("second", 0.5)):
        part = keras.Model(model.inputs[0], model.get_layer(name).output)
        x, y = (keras.ops.convert_to_numpy(part(images)) for images in pair)
        expected += weight * np.mean((x - y) ** 2)
    np.testing.assert_allclose(float(loss(*pair)), expected, rtol=1e-4)


def test_a_model_revived_without_its_weights_refuses_to_compute(pair):
    revived = checks.check_config(PerceptualLoss(small_backbone(), ["first"]))
    with pytest.raises(RuntimeError, match=r"without its weights.*Received"):
        revived(*pair)
    again = checks.check_config(revived)
    with pytest.raises(RuntimeError, match="without its weights"):
        again(*pair)


@pytest.mark.parametrize("ending", [".weights.h5", ".npz"])
def test_a_model_with_weights_in_a_file_is_revived_whole(
    pair, tmp_path, ending
):
    model = small_backbone()
    path = tmp_path / f"small{ending}"
    if ending == ".npz":
        np.savez(
            path,
            **{
                f"{layer.name}/{w.name}": keras.ops.convert_to_numpy(w)
                for layer in model.layers
                for w in layer.weights
            },
        )
    else:
        model.save_weights(path)
    loss = PerceptualLoss(small_backbone(), ["second"], weights=path)
    expected = float(PerceptualLoss(model, ["second"])(*pair))
    assert float(loss(*pair)) == expected
    assert float(checks.check_config(loss)(*pair)) == expected


def simple_model():
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"run_eagerly": True}, rarely({"jit_compile": True})],
    ids=label,
)
def test_a_model_learns_and_the_network_does_not(pair, options):
    if options.get("jit_compile") and keras.backend.backend() == "torch":
        pytest.skip("torch.compile needs a compiler on the user's machine")
    model = simple_model()
    loss = alexnet()
    before = [
        keras.ops.convert_to_numpy(w) for w in loss._distance.network.weights
    ]
    count = len(model.trainable_variables)
    model.compile(keras.optimizers.Adam(3e-3), loss=loss, **options)
    history = model.fit(
        pair[1], pair[0], epochs=6, batch_size=3, verbose=0
    ).history["loss"]
    assert history[-1] < 0.8 * history[0]
    assert len(model.trainable_variables) == count
    for old, new in zip(before, loss._distance.network.weights, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


@pytest.mark.slow
def test_the_network_stays_out_of_checkpoints(pair, tmp_path):
    sizes = []
    for loss in ("mse", alexnet(), PerceptualLoss(small_backbone(), ["first"])):
        model = simple_model()
        model.compile("adam", loss=loss)
        model.fit(*pair, verbose=0)
        path = tmp_path / "model.weights.h5"
        model.save_weights(path)
        sizes.append(os.path.getsize(path))
    assert sizes[0] == sizes[1] == sizes[2]


@pytest.mark.tensorflow_only
def test_one_trace_serves_batches_of_every_size():
    import tensorflow as tf

    loss = PerceptualLoss("vgg16", ["relu2_2"], weights="random")
    traces = []

    @tf.function(
        input_signature=[tf.TensorSpec((None, None, None, 3), "float32")] * 2
    )
    def step(y_true, y_pred):
        traces.append(1)
        return loss(y_true, y_pred)

    rng = np.random.default_rng(0)
    for shape in ((1, 16, 16, 3), (2, 16, 24, 3), (3, 9, 8, 3)):
        images = rng.uniform(size=(2, *shape)).astype("float32")
        np.testing.assert_allclose(
            step(*images), float(loss(*images)), rtol=1e-4
        )
    assert len(traces) == 1


@pytest.mark.tensorflow_only
def test_the_trace_holds_two_passes_and_one_gradient_to_the_image():
    import tensorflow as tf

    loss = PerceptualLoss("vgg16", ["relu2_2"], weights="random")

    @tf.function
    def step(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return tape.gradient(value, y_pred)

    images = tf.zeros((1, 16, 16, 3))
    graph = step.get_concrete_function(images, images).graph
    needed, waiting = set(), [output.op for output in graph.outputs]
    while waiting:
        op = waiting.pop()
        if op not in needed:
            needed.add(op)
            waiting += [x.op for x in op.inputs]
    kinds = [op.type for op in needed]
    assert kinds.count("Conv2D") == 2 * 4
    assert kinds.count("Conv2DBackpropInput") == 4
    assert kinds.count("Conv2DBackpropFilter") == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"backbone": "vgg"}, r"Did you mean .*'vgg16'.* Received: backbone="),
        ({"layers": ["relu3_9"]}, r"has no layer.*Received: layers"),
        ({"layers": []}, r"at least one layer.*Received: layers=\[\]"),
        ({"layers": {}}, r"at least one layer.*Received: layers=\{\}"),
        ({"layers": [3]}, r"at least one layer.*Received: layers=\[3\]"),
        ({"layers": {"conv1": -1}}, r"at least 0\. Received: layers\['conv1"),
        ({"layers": {"conv1": 0}}, r"always be zero.*Received: layers="),
        ({"distance": "l2"}, r"Use one of .*'mse'.*Received: distance='l2'"),
        ({"content_weight": -1}, r"Received: content_weight=-1"),
        ({"style_weight": "a"}, r"Received: style_weight='a'"),
        ({"content_weight": 0}, r"always be zero.*style_weight=0"),
        ({"value_range": (255, 0)}, r"Received: value_range=\(255, 0\)"),
        ({"weights": "imagenet"}, r"Received: weights='imagenet'"),
        ({"reduction": "max"}, r"Received: reduction=max"),
    ],
)
def test_bad_arguments_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        alexnet(**arguments)


def test_a_missing_weights_file_is_refused():
    with pytest.raises(FileNotFoundError, match=r"Received: weights='a\.npz'"):
        alexnet(weights="a.npz")


def test_images_that_cannot_be_compared_are_refused(pair):
    loss = alexnet()
    images, noisy = pair
    with pytest.raises(ValueError, match="no gradient can flow"):
        loss(images, (noisy * 255).astype("uint8"))
    with pytest.raises(ValueError, match="does not stretch"):
        loss(images[:1], noisy)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        loss(images[..., :2], noisy[..., :2])
    with pytest.raises(ValueError, match="Add the missing axis"):
        loss(images[0], noisy[0])
    with pytest.raises(ValueError, match=r"too small for .* 'conv3'"):
        loss(images[:, :20, :20], noisy[:, :20, :20])


# Without a mask and with one, computed once on TensorFlow.
ACROSS_BACKENDS = [
    ({"layers": ["relu2_2"], "pooling": "average"}, [1.8469857, 1.7202247]),
    ({"layers": ["conv3_3"], "distance": "mae"}, [4.0821857, 4.5001092]),
    (
        {"layers": ["relu1_2"], "scales": 3, "distance": "charbonnier"},
        [1.4471924, 1.3989471],
    ),
    ({"content_weight": 0.0, "style_weight": 1.0}, [2.5256219, 5.2554655]),
    (
        {"layers": ["relu3_1"], "pooling": "l2", "distance": "cosine"},
        [0.1822141, 0.2080432],
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("config", "expected"), ACROSS_BACKENDS)
def test_the_same_on_every_backend(config, expected):
    image = torture.picture(48, 40)
    other = np.roll(image, 3, axis=2) * np.float32(0.9)
    loss = PerceptualLoss("vgg16", **config)
    mask = np.zeros(image.shape[:3], "float32")
    mask[:, 8:30, 5:21] = 1
    found = [float(loss(image, other)), float(loss(image, other, mask))]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "dtypes"),
    [
        ({"layers": ["relu1", "relu5"]}, ["float32", "float16"]),
        # The slope of the style of huge values is beyond float16.
        ({"distance": "cosine", "style_weight": 1.0}, ["float32", "bfloat16"]),
        ({"distance": "charbonnier", "layers": ["relu1"]}, ["float32"]),
    ],
    ids=str,
)
def test_gradients_are_finite_at_the_worst_pairs(config, dtypes):
    loss = alexnet(check_range="off", **config)
    torture.check_finite(loss, 40, 40, dtypes=dtypes)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_gradients_are_finite_in_half_precision(dtype):
    loss = alexnet(style_weight=1.0, gram_normalization="none", dtype=dtype)
    for name, y_true, y_pred in torture.pairs(40, 40):
        if "huge" in name:
            continue  # Beyond what half precision holds, as images are not.
        (found,) = checks.gradients(lambda x, y=y_true: loss(y, x), y_pred)
        assert np.all(np.isfinite(found)), name


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
@pytest.mark.parametrize("distortion", ["blur", "noise", "jpeg"])
def test_grows_with_the_strength_of_a_distortion(backbone, distortion):
    photo, worse = distortions.distorted(distortion, 96)
    loss = PerceptualLoss(backbone)
    values = [float(loss(photo, x)) for x in worse]
    assert float(loss(photo, photo)) == 0
    assert values == sorted(values)
    assert values[0] > 0


def test_at_several_scales_the_message_says_how_large_to_be(pair):
    images, noisy = (x[:, :40, :40] for x in pair)
    with pytest.raises(ValueError, match=r"3 scales.*at least 124 pixels"):
        alexnet(scales=3)(images, noisy)
    large = np.zeros((1, 124, 124, 3), "float32")
    assert float(alexnet(scales=3)(large, large)) == 0


def test_between_smooth_and_sharp():
    """A blur costs about as before, what is added a tenth; 1 is "mse"."""
    photo, worse = distortions.distorted("blur", 64)
    sharp = np.clip(2 * photo - worse[1], 0, 1)
    mse, lost = alexnet(), alexnet(distance="lost")
    ratios = [float(lost(photo, x) / mse(photo, x)) for x in (worse[1], sharp)]
    assert ratios[0] > 2 * ratios[1]
    even = alexnet(distance="lost", added_weight=1.0)
    assert float(even(photo, sharp)) == pytest.approx(
        float(mse(photo, sharp)), rel=1e-5
    )


@pytest.mark.parametrize("normalize_features", [True, False])
@pytest.mark.parametrize("added_weight", [0.0, 0.1, 0.7])
def test_taps_count_alike_whatever_is_added_counts(
    added_weight, normalize_features
):
    """Each tap adds a share of 1 for an average distortion."""
    loss = alexnet(
        distance="lost",
        added_weight=added_weight,
        normalize_features=normalize_features,
    )
    prefix = "normalized_" if normalize_features else ""
    for tap, weight in loss._distance.content.items():
        row = MEAN_DISTANCES["alexnet", "torchvision"][tap]
        lost, squared = row[f"{prefix}lost"], row[f"{prefix}mse"]
        mean = lost + added_weight * (squared - lost)
        assert weight * mean == pytest.approx(1 / 5)


def test_a_weight_of_what_is_added_without_need_is_refused():
    with pytest.raises(ValueError, match=r"\"lost\"` alone.*added_weight=0.5"):
        alexnet(added_weight=0.5)
    with pytest.raises(ValueError, match=r"Received: added_weight=-1"):
        alexnet(distance="lost", added_weight=-1)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(PerceptualLoss)
