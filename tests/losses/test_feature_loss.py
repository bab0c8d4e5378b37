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

from keras_perceptual import PerceptualLoss


@pytest.fixture
def mask():
    return corner_mask()


class TestLayersAndMaps:
    @pytest.mark.parametrize("config", CONFIGS, ids=label)
    def test_layers_sum_up_to_the_loss(self, config):
        loss = alexnet(**config)
        true, pred = pair_of(config)
        layers = loss.per_layer(true, pred)
        assert all(tuple(x.shape) == (2,) for x in layers.values())
        np.testing.assert_allclose(
            to_numpy(sum(layers.values())),
            to_numpy(loss.per_image(true, pred)),
            rtol=1e-6,
        )

    def test_layers_have_names(self):
        loss = alexnet(
            layers=["relu1"], style_weight=1.0, style_layers=["conv2"], scales=2
        )
        assert list(loss.per_layer(*pair_of({}))) == [
            "content/relu1",
            "style/conv2",
            "content/relu1/scale2",
            "style/conv2/scale2",
        ]

    @pytest.mark.parametrize(
        "config", [{}, CONFIGS[1], CONFIGS[2], CONFIGS[4]], ids=label
    )
    def test_the_map_shows_where_images_differ(self, config):
        config = {**config, "layers": ["relu1", "relu2"]}
        loss = alexnet(**config)
        true, _ = pair_of(config)
        pred = true.copy()
        if config.get("data_format") == "channels_first":
            pred[:, :, 30:34, 50:54] += 0.5
        else:
            pred[:, 30:34, 50:54] += 0.5
        found = to_numpy(loss.spatial_map(true, np.clip(pred, 0, 1)))
        assert found.shape == (2, 64, 72)
        assert found.min() >= 0
        row, column = np.unravel_index(found[0].argmax(), found[0].shape)
        assert abs(row - 32) < 8
        assert abs(column - 52) < 8

    def test_the_map_of_one_layer_has_the_mean_of_its_distance(self):
        """Where enlarging keeps the mean: a map as large as the image."""
        loss = PerceptualLoss("vgg16", ["relu1_1"], weights="random")
        true, pred = pair_of({}, (2, 16, 16, 3))
        np.testing.assert_allclose(
            to_numpy(loss.spatial_map(true, pred)).mean((1, 2)),
            to_numpy(loss.per_image(true, pred)),
            rtol=1e-5,
        )

    def test_style_has_no_map(self):
        loss = alexnet(style_weight=1.0, content_weight=0.0)
        with pytest.raises(ValueError, match="Received: content_weight=0"):
            loss.spatial_map(*pair_of({}))


class TestMasks:
    @pytest.mark.parametrize("config", CONFIGS, ids=label)
    def test_a_mask_of_ones_changes_nothing(self, config):
        loss = alexnet(**config)
        true, pred = pair_of(config)
        ones = np.ones((2, 64, 72), "float32")
        np.testing.assert_allclose(
            float(loss(true, pred, ones)), float(loss(true, pred)), rtol=1e-5
        )

    def test_comes_with_the_target_or_as_sample_weight(self, mask):
        loss = alexnet()
        true, pred = pair_of({})
        value = float(loss(true, pred, mask))
        assert value > 0
        assert float(loss((true, mask), pred)) == value
        assert float(loss(true, pred, mask[..., None])) == value
        assert np.mean(to_numpy(loss.per_image((true, mask), pred))) == (
            pytest.approx(value, rel=1e-6)
        )

    def test_a_mask_and_a_weight_for_each_image(self, mask):
        loss = alexnet()
        true, pred = pair_of({})
        values = to_numpy(loss.per_image((true, mask), pred))
        found = float(loss((true, mask), pred, np.array([0.0, 3.0])))
        np.testing.assert_allclose(found, 1.5 * values[1], rtol=1e-6)

    @pytest.mark.parametrize("config", CONFIGS[:4], ids=label)
    def test_nothing_outside_has_an_effect(self, config, mask):
        """Beyond what the masked features see: 51 pixels for relu2."""
        config = {**config, "layers": ["relu1", "relu2"], "scales": 1}
        loss = alexnet(**config)
        true, pred = pair_of(config)
        (found,) = gradients(lambda p: loss(true, p, mask), pred)
        inside = np.zeros(found.shape[1:3], bool)
        inside[: 20 + 51, : 24 + 51] = True
        inside[20 + 40 :, 24 + 40 :] = False
        np.testing.assert_array_equal(found[:, ~inside], 0)
        assert np.any(found[:, :20, :24])
        changed = pred.copy()
        changed[:, 62:, 66:] = 0
        assert float(loss(true, changed, mask)) == pytest.approx(
            float(loss(true, pred, mask)), rel=1e-6
        )

    @pytest.mark.parametrize("config", CONFIGS[:4], ids=label)
    def test_an_empty_mask_costs_nothing(self, config):
        loss = alexnet(**config)
        true, pred = pair_of(config)
        empty = np.zeros((2, 64, 72), "float32")
        assert float(loss(true, pred, empty)) == 0
        (found,) = gradients(lambda p: loss(true, p, empty), pred)
        np.testing.assert_array_equal(found, 0)

    def test_the_area_of_the_mask_does_not_matter(self):
        """The same error everywhere costs the same under every mask."""
        loss = PerceptualLoss("vgg16", ["relu1_1"], weights="random")
        true = np.full((1, 32, 32, 3), 0.3, "float32")
        pred = np.full((1, 32, 32, 3), 0.6, "float32")
        small, large = np.zeros((2, 1, 32, 32), "float32")
        small[:, 10:13, 10:12] = 1
        large[:, 2:30, 2:30] = 0.25
        assert float(loss(true, pred, small)) == pytest.approx(
            float(loss(true, pred, large)), rel=1e-5
        )

    @pytest.mark.slow
    def test_fit_takes_a_mask_as_sample_weight(self, mask):
        true, pred = pair_of({})
        model = keras.Sequential(
            [keras.Input((64, 72, 3)), keras.layers.Conv2D(3, 1)]
        )
        loss = alexnet()
        model.compile("sgd", loss)
        found = model.evaluate(true, pred, sample_weight=mask, verbose=0)
        expected = float(loss(pred, to_numpy(model(true)), mask))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        model.fit(true, pred, sample_weight=mask, verbose=0)

    @pytest.mark.parametrize(
        "shape", [(2, 64, 71), (1, 64, 72), (2, 64, 72, 3)]
    )
    def test_refuses_masks_of_another_size(self, shape):
        mask = np.ones(shape, "float32")
        with pytest.raises(ValueError, match=r"Received: mask\.shape="):
            alexnet()(*pair_of({}), mask)

    def test_refuses_two_masks(self, mask):
        true, pred = pair_of({})
        with pytest.raises(ValueError, match="two masks"):
            alexnet()((true, mask), pred, mask)


class TestEncodedTargets:
    def test_they_are_those_of_the_images(self):
        loss, (true, pred) = alexnet(), pair_of({})
        expected = to_numpy(loss.per_image(true, pred))
        whole = loss.encode(true)
        np.testing.assert_allclose(
            to_numpy(loss.per_image(whole, pred)), expected, rtol=1e-5
        )
        # In parts, the last of which is smaller.
        three = np.concatenate([true, true[:1]])
        parts = to_numpy(loss.encode(three, batch_size=2))
        assert parts.shape == (3, whole.shape[1])
        np.testing.assert_allclose(
            parts[:2], to_numpy(whole), rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(parts[2], parts[0], rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("batch_size", [None, 1])
    def test_a_mask_goes_with_the_images(self, mask, batch_size):
        loss = alexnet(style_weight=0.5, style_layers=["relu2"])
        true, pred = pair_of({})
        encoded = loss.encode(true, mask, batch_size=batch_size)
        np.testing.assert_allclose(
            to_numpy(loss.per_image((encoded, mask), pred)),
            to_numpy(loss.per_image((true, mask), pred)),
            rtol=1e-4,
        )

    @pytest.mark.parametrize("batch_size", [None, 3])
    def test_of_no_images_there_is_none(self, mask, batch_size):
        loss, (true, _) = alexnet(), pair_of({})
        encoded = loss.encode(true[:0], mask[:0], batch_size=batch_size)
        assert tuple(encoded.shape) == (0, loss.encode(true).shape[1])
