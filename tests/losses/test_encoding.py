import keras
import numpy as np
import pytest
from alexnet_losses import (
    CONFIGS,
    alexnet,
    corner_mask,
    label,
    pair_of,
    to_numpy,
)
from checks import gradients
from sampling import once, rarely

from keras_perceptual import progress


@pytest.fixture
def mask():
    return corner_mask()


@pytest.mark.parametrize("config", once(CONFIGS, 2), ids=label)
def test_encoded_targets_stand_for_the_images(config):
    loss = alexnet(**config)
    true, pred = pair_of(config)
    encoded = to_numpy(loss.encode(true))
    assert encoded.ndim == 2
    np.testing.assert_allclose(
        float(loss(encoded, pred)), float(loss(true, pred)), rtol=1e-6
    )
    expected, found = (
        gradients(lambda p, t=t: loss(t, p), pred)[0] for t in (true, encoded)
    )
    np.testing.assert_allclose(
        found, expected, atol=1e-5 * np.abs(expected).max()
    )


def test_encoded_targets_in_batches(mask, monkeypatch, capsys):
    loss = alexnet()
    true, _ = pair_of({})
    images = np.concatenate([true, 1 - true, true])[:5]
    masks = np.concatenate([mask, 1 - mask, mask])[:5]
    for arguments in ((images,), (images, masks)):
        expected = to_numpy(loss.encode(*arguments))
        monkeypatch.setattr(progress, "PATIENCE", 0.0)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        found = to_numpy(loss.encode(*arguments, batch_size=2))
        # PyTorch convolves batches of another size in another order.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        assert "3/3" in capsys.readouterr().out
    one_by_one = to_numpy(loss.encode(images, batch_size=1))
    np.testing.assert_allclose(
        one_by_one, to_numpy(loss.encode(images)), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ValueError, match="Received: batch_size=0"):
        loss.encode(images, batch_size=0)


def test_encoded_targets_may_be_of_a_type_without_a_gradient():
    loss = alexnet(value_range=(0, 255))
    image = np.arange(64 * 72 * 3).reshape(1, 64, 72, 3) % 256
    encoded = loss.encode(image.astype("uint8"))
    value = float(loss(encoded, image.astype("float32")))
    assert value == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("config", CONFIGS[:4], ids=label)
def test_encoded_targets_with_a_mask(config, mask):
    loss = alexnet(**config)
    true, pred = pair_of(config)
    encoded = loss.encode(true, mask)
    np.testing.assert_allclose(
        float(loss(encoded, pred, mask)),
        float(loss(true, pred, mask)),
        rtol=1e-6,
    )


def test_encoded_targets_layers_and_maps_take_them_as_well():
    loss = alexnet()
    true, pred = pair_of({})
    encoded = loss.encode(true)
    np.testing.assert_allclose(
        to_numpy(loss.spatial_map(encoded, pred)),
        to_numpy(loss.spatial_map(true, pred)),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "other",
    [
        {"layers": ["relu1"]},
        {"normalize_features": True},
        {"weights": "random"},
        {"pooling": "average", "layers": ["conv3"]},
        {"style_weight": 1.0},
    ],
    ids=label,
)
def test_encoded_targets_of_another_configuration_are_refused(other):
    true, pred = pair_of({})
    encoded = alexnet(**other).encode(true)
    with pytest.raises(ValueError, match="another configuration"):
        alexnet()(encoded, pred)


def test_encoded_targets_of_another_size_are_refused():
    loss = alexnet()
    true, pred = pair_of({})
    with pytest.raises(ValueError, match=r"Received: y_true\.shape="):
        loss(loss.encode(true[:, :48]), pred)


def test_encoded_targets_do_not_depend_on_what_only_compares():
    """What is compared, in which range or with which weight is free."""
    true, pred = pair_of({})
    encoded = alexnet(value_range=(-1, 1)).encode(2 * true - 1)
    loss = alexnet(distance="mae", content_weight=3.0)
    np.testing.assert_allclose(
        float(loss(encoded, pred)), float(loss(true, pred)), rtol=1e-4
    )


@pytest.mark.tensorflow_only
def test_encoded_targets_are_refused_in_a_graph_too():
    import tensorflow as tf

    true, pred = pair_of({})
    encoded = alexnet(weights="random").encode(true)
    traced = tf.function(alexnet())
    with pytest.raises(tf.errors.OpError, match="another configuration"):
        traced(encoded, tf.constant(pred))
    compiled = tf.function(alexnet(), jit_compile=True)
    assert np.isnan(compiled(encoded, tf.constant(pred)))


@pytest.mark.slow
@pytest.mark.tensorflow_only
@pytest.mark.parametrize("jit_compile", [False, rarely(True)])
def test_encoded_targets_fit_takes_them_from_a_cached_pipeline(jit_compile):
    import tensorflow as tf

    true, pred = pair_of({}, (4, 32, 32, 3))
    loss = alexnet(layers=["relu1", "conv2"], style_weight=1.0)
    pairs = tf.data.Dataset.from_tensor_slices((pred, true)).batch(2)
    encoded = pairs.map(lambda x, y: (x, loss.encode(y))).cache()

    def history(data):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((32, 32, 3)), keras.layers.Conv2D(3, 1)]
        )
        optimizer = keras.optimizers.SGD(1e-4)
        model.compile(optimizer, loss, jit_compile=jit_compile)
        # A dataset is in an order of its own.
        return model.fit(data, epochs=2, verbose=0, shuffle=False).history[
            "loss"
        ]

    np.testing.assert_allclose(history(encoded), history(pairs), rtol=1e-4)


@pytest.mark.tensorflow_only
def test_encoded_targets_save_a_third_of_the_convolutions():
    import tensorflow as tf

    loss = alexnet()
    true, pred = pair_of({})

    @tf.function
    def step(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return tape.gradient(value, y_pred)

    def convolutions(y_true):
        graph = step.get_concrete_function(y_true, tf.constant(pred)).graph
        kinds = [op.type for op in graph.get_operations()]
        return kinds.count("Conv2D"), kinds.count("Conv2DBackpropInput")

    assert convolutions(tf.constant(true)) == (10, 5)
    assert convolutions(loss.encode(true)) == (5, 5)


def test_encoded_targets_kept_on_disk_go_on_to_be_read():
    """Four numbers come first, whatever else a row holds."""
    loss = alexnet()
    true, _ = pair_of({})
    images = keras.ops.convert_to_tensor(true)
    kept = loss._distance.keep(images, None).values()
    numbers = sum(np.prod(part.shape[1:]) for part in kept)
    assert loss.encode(true).shape[1] == 4 + numbers
