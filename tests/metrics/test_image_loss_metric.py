import checks
import keras
import numpy as np
import pytest
import torture

import keras_perceptual as kp


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def small_lpips(**arguments):
    return kp.LPIPS(weights="random", **arguments)


@pytest.fixture
def images(rng):
    """Seven images and noisy copies: batches of three leave one over."""
    true = np.concatenate([torture.picture(32, 36)] * 4)[:7]
    noise = np.linspace(0.02, 0.3, 7)[:, None, None, None]
    pred = true + noise * rng.normal(size=true.shape)
    return true, np.clip(pred, 0, 1).astype("float32")


def updated(metric, images, weights=None, size=3):
    for start in range(0, len(images[0]), size):
        part = slice(start, start + size)
        weight = () if weights is None else (weights[part],)
        metric.update_state(images[0][part], images[1][part], *weight)
    return float(metric.result())


@pytest.mark.parametrize("loss", [small_lpips, kp.SobelGradientLoss])
def test_the_mean_over_images_of_uneven_batches(loss, images):
    loss = loss()
    values = numpy(loss.per_image(*images))
    metric = kp.ImageLossMetric(loss)
    assert metric.name == loss.name
    assert float(metric.result()) == 0
    assert updated(metric, images) == pytest.approx(values.mean(), rel=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0
    assert updated(metric, images, size=2) == pytest.approx(
        values.mean(), rel=1e-5
    )


@pytest.mark.once
def test_the_reduction_of_the_loss_is_of_no_account(images):
    values = numpy(small_lpips().per_image(*images))
    metric = kp.ImageLossMetric(small_lpips(reduction="sum"))
    assert updated(metric, images) == pytest.approx(values.mean(), rel=1e-5)


@pytest.mark.parametrize("shape", [(7,), (7, 1)])
def test_weights_of_images(images, shape):
    loss = kp.SobelGradientLoss()
    values = numpy(loss.per_image(*images))
    weights = np.linspace(0, 3, 7).astype("float32")
    found = updated(kp.ImageLossMetric(loss), images, weights.reshape(shape))
    assert found == pytest.approx(np.average(values, weights=weights), rel=1e-5)


@pytest.mark.once
def test_a_mask_goes_to_the_loss(images):
    loss = small_lpips()
    mask = np.zeros((7, 32, 36), "float32")
    mask[:, :20] = 1
    values = numpy(loss.per_image((images[0], mask), images[1]))
    found = updated(kp.ImageLossMetric(loss), images, mask)
    assert found == pytest.approx(values.mean(), rel=1e-5)
    assert found != pytest.approx(
        numpy(loss.per_image(*images)).mean(), rel=1e-3
    )
    edges = kp.SobelGradientLoss()
    values = numpy(edges.per_image((images[0], mask), images[1]))
    found = updated(kp.ImageLossMetric(edges), images, mask)
    assert found == pytest.approx(values.mean(), rel=1e-5)
    contextual = kp.ContextualLoss("alexnet", ["relu1"], weights="random")
    with pytest.raises(ValueError, match="no meaning"):
        kp.ImageLossMetric(contextual).update_state(*images, mask)


def test_predictions_of_whole_numbers(images):
    loss = kp.SobelGradientLoss(value_range=(0, 255))
    true, pred = (np.round(255 * x) for x in images)
    metric = kp.ImageLossMetric(loss)
    metric.update_state(true.astype("uint8"), pred.astype("uint8"))
    values = numpy(loss.per_image(true, pred))
    assert float(metric.result()) == pytest.approx(values.mean(), rel=1e-5)


def test_windows(images):
    metric = kp.ImageLossMetric(small_lpips(), tile=256)
    values = numpy(metric.loss.per_image(*images))
    assert updated(metric, images) == pytest.approx(values.mean(), rel=1e-5)


def compiled(loss, *metrics):
    model = keras.Sequential(
        [
            keras.Input((32, 36, 3)),
            keras.layers.Conv2D(3, 3, padding="same", name="conv"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), loss=loss, metrics=list(metrics))
    return model


@pytest.mark.slow
def test_in_a_model(images):
    """Trained, evaluated in uneven batches, saved and loaded."""
    loss = small_lpips()
    metric = kp.ImageLossMetric(loss, name="distance")
    model = compiled(loss, metric, kp.ImageLossMetric(kp.SobelGradientLoss()))
    history = model.fit(
        images[1], images[0], batch_size=3, epochs=2, verbose=0
    ).history
    # Keras' own mean of the loss is over images as well.
    np.testing.assert_allclose(history["distance"], history["loss"], rtol=1e-4)
    found = model.evaluate(
        images[1], images[0], batch_size=3, verbose=0, return_dict=True
    )
    predicted = model.predict(images[1], verbose=0)
    assert found["distance"] == pytest.approx(
        numpy(loss.per_image(images[0], predicted)).mean(), rel=1e-4
    )
    assert found["sobel_gradient_loss"] == pytest.approx(
        float(kp.SobelGradientLoss()(images[0], predicted)), rel=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_windows_in_a_compiled_model(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("PyTorch compiles with a C++ compiler, if there is one")
    true = torture.picture(280, 40)
    pred = 0.5 * true
    loss = small_lpips()
    model = keras.Sequential(
        [keras.Input((280, 40, 3)), keras.layers.Rescaling(1.0)]
    )
    model.compile(
        loss=kp.CharbonnierLoss(),
        metrics=[kp.ImageLossMetric(loss, tile=256)],
        jit_compile=jit_compile,
    )
    found = model.evaluate(pred, true, verbose=0, return_dict=True)
    values = numpy(loss.per_image(true, pred))
    assert found["lpips"] == pytest.approx(values.mean(), rel=1e-5)


def test_weighted_metrics_take_the_weights_of_a_model(images):
    loss = kp.SobelGradientLoss()
    weights = np.linspace(0, 3, 7).astype("float32")
    model = keras.Sequential(
        [keras.Input((32, 36, 3)), keras.layers.Rescaling(1.0)]
    )
    model.compile(
        loss=kp.CharbonnierLoss(), weighted_metrics=[kp.ImageLossMetric(loss)]
    )
    found = model.evaluate(
        images[1],
        images[0],
        sample_weight=weights,
        batch_size=3,
        verbose=0,
        return_dict=True,
    )
    values = numpy(loss.per_image(*images))
    assert found["sobel_gradient_loss"] == pytest.approx(
        np.average(values, weights=weights), rel=1e-4
    )


@pytest.mark.once
@pytest.mark.slow
def test_loss_and_metric_share_one_network_after_loading(images, tmp_path):
    loss = small_lpips()
    models = {
        "bare": compiled(loss),
        "metric": compiled(
            loss,
            kp.ImageLossMetric(loss, name="distance"),
            kp.LPIPSMetric(loss),
        ),
    }
    sizes = {}
    for name, model in models.items():
        model.fit(images[1], images[0], verbose=0)
        model.save(tmp_path / f"{name}.keras")
        sizes[name] = (tmp_path / f"{name}.keras").stat().st_size
    # Their configurations and their sums, of which there are two each.
    assert sizes["metric"] - sizes["bare"] < 20_000
    revived = keras.models.load_model(tmp_path / "metric.keras")
    expected, evaluated = (
        m.evaluate(images[1], images[0], verbose=0, return_dict=True)
        for m in (models["metric"], revived)
    )
    assert evaluated == pytest.approx(expected, rel=1e-5)
    found = [
        metric
        for group in revived.metrics
        for metric in getattr(group, "metrics", ())
        if isinstance(metric, kp.ImageLossMetric)
    ]
    assert [metric.name for metric in found] == ["distance", "lpips"]
    assert all(metric.loss is revived.loss for metric in found)
    assert set(evaluated) == {"loss", "distance", "lpips"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"loss": "mse"}, "averages a loss of this package.*loss='mse'"),
        (
            {"loss": keras.losses.MeanSquaredError()},
            "metrics of their own. Received: loss=",
        ),
        (
            {"loss": kp.SobelGradientLoss(), "tile": 512},
            "Leave out `tile`. Received: tile=512",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        kp.ImageLossMetric(**arguments)


def test_config():
    metric = kp.ImageLossMetric(
        small_lpips(value_range=(0, 255)), tile=512, name="mine"
    )
    revived = checks.check_config(metric)
    assert revived.loss.value_range == (0, 255)
    assert revived.loss is not metric.loss


@pytest.mark.slow
@pytest.mark.parametrize(
    "callback",
    [
        lambda path, name: keras.callbacks.EarlyStopping(name),
        lambda path, name: keras.callbacks.ReduceLROnPlateau(name),
        lambda path, name: keras.callbacks.ModelCheckpoint(
            path, monitor=name, save_best_only=True
        ),
    ],
    ids=["stopping", "plateau", "checkpoint"],
)
def test_callbacks_know_which_way_is_better(callback, tmp_path, rng):
    images = rng.uniform(size=(2, 16, 16, 3)).astype("float32")
    metric = kp.ImageLossMetric(kp.SSIMLoss(), name="structure")
    model = keras.Sequential([keras.Input((16, 16, 3)), kp.LookupColorLayer(3)])
    model.compile(keras.optimizers.SGD(1e3), "mse", metrics=[metric])
    watcher = callback(tmp_path / "best.keras", "val_structure")
    history = model.fit(
        images,
        images,
        epochs=2,
        validation_data=(images, images[::-1]),
        callbacks=[watcher],
        verbose=0,
    ).history["val_structure"]
    assert watcher.best == pytest.approx(min(history))
    assert watcher.monitor_op is keras.ops.less


def test_a_class_of_losses_is_refused():
    with pytest.raises(TypeError, match=r"Create one: `SSIMLoss\(\)`"):
        kp.ImageLossMetric(kp.SSIMLoss)
