import keras
import numpy as np
import pytest
from reference.similarities import GOLDEN

import keras_perceptual as kp


@pytest.fixture
def features():
    """Those that torchmetrics was asked about."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(40, 12))
    return true.astype("float32"), rng.normal(0.3, 1.2, (40, 12)).astype(
        "float32"
    )


def update(metric, features, batch):
    for start in range(0, len(features[0]), batch):
        metric.update_state(*(x[start : start + batch] for x in features))
    return float(metric.result())


@pytest.mark.parametrize("batch", [7, 20, 40])
def test_subsets_have_the_numbers_of_torchmetrics(features, batch):
    """However they were cut into batches, smaller and larger ones."""
    metric = kp.KIDMetric(None, subset_size=20)
    known = GOLDEN["distances"]["first and last"]
    found = update(metric, features, batch)
    assert found == pytest.approx(np.mean(known), rel=1e-5)
    found = float(metric.standard_deviation())
    assert found == pytest.approx(np.std(known), rel=1e-3)


@pytest.mark.parametrize("batch", [7, 20, 32])
def test_batches_of_any_size_in_a_model(features, batch):
    """The last one is shorter, so that graphs do not know the size."""
    model = keras.Sequential([keras.Input((12,)), keras.layers.Identity()])
    model.compile(loss="mse", metrics=[kp.KIDMetric(None, subset_size=10)])
    true, pred = features
    found = model.evaluate(pred, true, batch, verbose=0, return_dict=True)
    metric = kp.KIDMetric(None, subset_size=10)
    assert found["kid"] == pytest.approx(update(metric, features, 1), rel=1e-5)


def test_what_fills_no_subset_counts_where_nothing_else_does(features):
    metric = kp.KIDMetric(None, subset_size=50)
    found = update(metric, features, 16)
    assert found == pytest.approx(GOLDEN["distances"]["all"], rel=1e-5)
    metric = kp.KIDMetric(None, subset_size=20)
    metric.update_state(*(x[:20] for x in features))
    before = float(metric.result())
    metric.update_state(*(x[20:30] for x in features))
    assert float(metric.result()) == before


def test_starts_anew(features):
    metric = kp.KIDMetric(None, subset_size=20)
    assert float(metric.result()) == 0
    first = update(metric, features, 40)
    metric.reset_state()
    assert float(metric.result()) == 0
    metric.update_state(*(x[:0] for x in features))
    assert update(metric, features, 8) == pytest.approx(first, rel=1e-6)


def test_compares_what_a_network_sees(rng):
    """The means of a layer over its positions, of images in any layout."""
    images = rng.uniform(0, 255, (2, 5, 32, 40, 3)).astype("uint8")
    extractor = kp.features.FeatureExtractor(
        "alexnet", "relu2", weights="random", value_range=(0, 255)
    )
    features = [
        keras.ops.mean(extractor(np.float32(x))["relu2"], axis=(1, 2))
        for x in images
    ]
    expected = float(kp.ops.kernel_inception_distance(*features))
    for data_format, pair in (
        ("channels_last", images),
        ("channels_first", np.moveaxis(images, -1, 2)),
    ):
        metric = kp.KIDMetric(
            "alexnet",
            "relu2",
            weights="random",
            value_range=(0, 255),
            data_format=data_format,
        )
        metric.update_state(*pair)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_in_a_model(features, tmp_path):
    """Compiled, in batches of several sizes, and saved."""
    inputs = keras.Input((12,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(loss="mse", metrics=[kp.KIDMetric(None, subset_size=20)])
    true, pred = features
    found = model.evaluate(pred, true, batch_size=7, verbose=0)[1]
    known = np.mean(GOLDEN["distances"]["first and last"])
    assert found == pytest.approx(known, rel=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = loaded.evaluate(pred, true, batch_size=16, verbose=0)[1]
    assert found == pytest.approx(known, rel=1e-5)


def test_what_cannot_be_compared_is_refused(features, rng):
    metric = kp.KIDMetric(None)
    with pytest.raises(ValueError, match=r"^KIDMetric.*Received: true\.shape="):
        metric.update_state(features[0], features[1][:, :3])
    with pytest.raises(ValueError, match=r"Received: sample_weight of type"):
        metric.update_state(*features, np.ones(40))
    with pytest.raises(ValueError, match=r"Received: subset_size=1"):
        kp.KIDMetric(None, subset_size=1)
    with pytest.raises(ValueError, match=r"Received: backbone='vgg'"):
        kp.KIDMetric("vgg")
    metric = kp.KIDMetric("alexnet", weights="random")
    images = rng.uniform(size=(1, 64, 64, 2))
    with pytest.raises(ValueError, match=r"^KIDMetric.*Received: y_true"):
        metric.update_state(images, images)
