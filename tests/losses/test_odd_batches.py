"""Batches that are not as usual, and what is seen of them.

Empty ones, single images, sizes that change, and numbers that are none.
"""

import inspect

import keras
import numpy as np
import pytest
from checks import compiled_gradient, gradients, image_values
from small_losses import LOSSES, loss_of

import keras_perceptual as kp
from keras_perceptual.losses.distance import WindowedDistance
from keras_perceptual.losses.image_loss import ImageLoss

BACKEND = keras.backend.backend()


def photos(seed, *shape):
    """Returns images in (0, 1), the same whenever they are asked for."""
    return np.random.default_rng(seed).uniform(size=shape).astype("float32")


class Batches(keras.utils.PyDataset):
    """Batches of images of any sizes, with darker ones as targets."""

    def __init__(self, batches):
        super().__init__()
        self.pairs = [(x, 0.5 * x) for x in batches]

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]


def identity_model(loss):
    """A model of images of any size that starts out changing nothing."""
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Dense(3, kernel_initializer="identity"),
        ]
    )
    model.compile("sgd", loss)
    return model


def test_no_loss_between_images_is_left_out():
    assert set(LOSSES) == {
        name
        for name, cls in vars(kp).items()
        if inspect.isclass(cls) and issubclass(cls, ImageLoss)
    }


class TestEmptyBatch:
    """Costs 0, as in Keras, and neither moves nor stops anything."""

    images = np.zeros((0, 32, 32, 3), "float32")

    @pytest.mark.parametrize("name", LOSSES)
    def test_costs_nothing(self, name):
        loss, images = loss_of(name), self.images
        mean = keras.losses.MeanSquaredError()
        assert float(loss(images, images)) == float(mean(images, images)) == 0
        assert float(loss(images, images, np.zeros(0, "float32"))) == 0
        assert image_values(loss, images, images).shape == (0,)
        assert tuple(loss.per_image(images, images).shape) == (0,)
        assert tuple(loss.compare(images, images).shape) == (0,)
        if isinstance(loss._distance, WindowedDistance):
            found = loss.per_image(images, images, tile=256)
            assert tuple(found.shape) == (0,)

    @pytest.mark.parametrize("name", LOSSES)
    def test_has_a_gradient_of_zero(self, name):
        loss = loss_of(name)

        def cost(kernel):
            return loss(self.images, keras.ops.matmul(self.images, kernel))

        (found,) = gradients(cost, np.eye(3, dtype="float32"))
        np.testing.assert_array_equal(found, np.zeros((3, 3)))

    @pytest.mark.parametrize("name", ["PerceptualLoss", "DISTS"])
    def test_by_layer_and_encoded(self, name):
        loss, image = loss_of(name), photos(0, 1, 32, 32, 3)
        found = loss.per_layer(self.images, self.images)
        assert set(found) == set(loss.per_layer(image, image))
        assert all(tuple(x.shape) == (0,) for x in found.values())
        encoded = loss.encode(self.images)
        assert tuple(encoded.shape) == (0, loss.encode(image).shape[1])
        assert tuple(loss.encode(self.images, batch_size=2).shape) == (
            tuple(encoded.shape)
        )
        assert float(loss(encoded, self.images)) == 0

    def test_has_an_empty_map(self):
        found = loss_of("LPIPS").spatial_map(self.images, self.images)
        assert tuple(found.shape) == (0, 32, 32)

    def test_encoded_with_a_mask(self):
        loss = loss_of("PerceptualLoss")
        mask = np.zeros((0, 32, 32), "float32")
        assert len(loss.encode(self.images, mask)) == 0

    @pytest.mark.parametrize("reduction", ["sum", "none", None])
    def test_reduction(self, reduction):
        loss = kp.SobelGradientLoss(reduction=reduction)
        shape = () if reduction == "sum" else (0,)
        assert tuple(loss(self.images, self.images).shape) == shape

    def test_among_others(self):
        loss = kp.WeightedSumLoss(
            {
                "pixels": keras.losses.MeanAbsoluteError(),
                "edges": (kp.SobelGradientLoss(), 0.5),
            }
        )
        terms = kp.LossTerms(loss)
        x, y = photos(0, 1, 8, 8, 3), photos(1, 1, 8, 8, 3)
        loss(x, y)
        terms.update_state(x, y)
        before = {k: float(v) for k, v in terms.result().items()}
        assert float(loss(self.images, self.images)) == 0
        terms.update_state(self.images, self.images)
        assert {k: float(v) for k, v in terms.result().items()} == before

    def test_leaves_a_metric_as_it_is(self):
        metric = kp.ImageLossMetric(loss_of("PerceptualLoss"))
        metric.update_state(photos(0, 1, 32, 32, 3), photos(1, 1, 32, 32, 3))
        before = float(metric.result())
        assert before > 0
        metric.update_state(self.images, self.images)
        assert float(metric.result()) == before

    @pytest.mark.parametrize("tile", [None, 256])
    def test_is_nothing_to_a_metric_that_has_seen_nothing(self, tile):
        metric = kp.LPIPSMetric(loss_of("LPIPS"), tile=tile)
        metric.update_state(self.images, self.images)
        assert float(metric.result()) == 0

    @pytest.mark.tensorflow_only
    @pytest.mark.parametrize(
        ("name", "operation"),
        [
            ("CharbonnierLoss", None),
            ("SSIMLoss", None),
            ("FocalFrequencyLoss", None),
            # TensorFlow's own: `tf.pad` that mirrors refuses no images, and
            # the convolution on the CPU returns them with too few channels.
            ("SobelGradientLoss", "MirrorPad"),
            ("LPIPS", "depth|shapes"),
        ],
    )
    def test_in_a_graph_that_does_not_know_the_number(self, name, operation):
        """As in `fit` with data that have no image where one is expected."""
        import tensorflow as tf

        loss = loss_of(name)

        @tf.function(input_signature=2 * [tf.TensorSpec((None, 32, 32, 3))])
        def step(x, y):
            with tf.GradientTape() as tape:
                tape.watch(y)
                value = loss(x, y)
            return value, tape.gradient(value, y)

        if operation is not None:
            with pytest.raises(tf.errors.OpError, match=operation):
                step(self.images, self.images)
            return
        value, gradient = step(self.images, self.images)
        assert float(value) == 0
        assert gradient.shape == self.images.shape


class TestOneImage:
    """Costs what it costs among others."""

    @pytest.mark.parametrize("name", ["SobelGradientLoss", "PerceptualLoss"])
    def test_alone(self, name):
        loss = loss_of(name)
        x, y = photos(0, 3, 32, 32, 3), photos(1, 3, 32, 32, 3)
        among_others = image_values(loss, x, y)
        np.testing.assert_allclose(
            float(loss(x[1:2], y[1:2])), among_others[1], rtol=1e-5
        )


class TestSizesThatChange:
    """Each size gives its own numbers, and is traced once."""

    sizes = ((2, 32, 32), (1, 48, 40), (2, 32, 32), (1, 48, 40))

    @pytest.mark.parametrize("name", ["SobelGradientLoss", "PerceptualLoss"])
    def test_from_batch_to_batch(self, name):
        loss, traces = loss_of(name), []

        def cost(x, y):
            traces.append(x.shape)
            return loss(x, y)

        step = compiled_gradient(cost)
        alone = {size: compiled_gradient(loss_of(name)) for size in self.sizes}
        for seed, size in enumerate(self.sizes):
            pair = photos(seed, *size, 3), photos(seed + 9, *size, 3)
            found, expected = step(*pair), alone[size](*pair)
            for x, y in zip(found, expected, strict=True):
                scale = abs(y).max()
                assert scale > 0
                np.testing.assert_allclose(x, y, rtol=0, atol=1e-5 * scale)
        if BACKEND != "torch":
            assert len(traces) == len(set(self.sizes))

    def test_in_fit(self):
        traces = []

        class Watched(kp.SobelGradientLoss):
            def __call__(self, *inputs):
                traces.append(tuple(inputs[1].shape))
                return super().__call__(*inputs)

        batches = Batches([photos(i, *s, 3) for i, s in enumerate(self.sizes)])
        model = identity_model(Watched())
        before = [float(kp.SobelGradientLoss()(y, x)) for x, y in batches.pairs]
        model.optimizer.learning_rate = 0.0
        history = model.fit(batches, shuffle=False, verbose=0)
        # The mean over all images.
        images = [size[0] for size in self.sizes]
        np.testing.assert_allclose(
            history.history["loss"],
            np.average(before, weights=images),
            rtol=1e-5,
        )
        if BACKEND == "tensorflow":
            # With all sizes unknown from the start, or from the second on.
            assert len(set(traces)) == len(traces) <= 2
        elif BACKEND == "jax":
            assert len(set(traces)) == len(set(self.sizes))


class TestNotANumber:
    """Shows in the loss of its image, and nowhere else, and stops `fit`."""

    def batch(self):
        x, y = photos(0, 2, 32, 32, 3), photos(1, 2, 32, 32, 3)
        y[0, 5, 7, 1] = np.nan
        return x, y

    @pytest.mark.parametrize(
        ("name", "check_range"),
        [
            ("CharbonnierLoss", "clip"),
            ("SobelGradientLoss", "raise"),
            ("SSIMLoss", "warn"),
            ("PerceptualLoss", "raise"),
        ],
    )
    def test_is_of_one_image(self, name, check_range):
        """It is in no range and outside none: the range check is silent."""
        x, y = self.batch()
        loss = LOSSES[name](check_range=check_range)
        for pair in ((x, y), (y, x)):
            values = keras.ops.convert_to_numpy(loss.per_image(*pair))
            assert np.isnan(values).tolist() == [True, False]
        expected = image_values(loss, y, x)[1]
        np.testing.assert_allclose(values[1], expected, rtol=1e-6)

    def test_stops_fit_with_an_error_that_names_it(self):
        x, y = self.batch()
        model = identity_model(kp.SobelGradientLoss(check_range="raise"))
        callback = kp.GradientSanityCallback()
        with pytest.raises(
            kp.GradientSanityError, match="NaN or infinity"
        ) as caught:
            model.fit(y, x, batch_size=2, verbose=0, callbacks=[callback])
        # PyTorch takes 0 for the slope of |NaN|: the bias stays finite there.
        found = [record.path for record in caught.value.report.nonfinite]
        weights = [weight.path for weight in model.weights]
        assert found == (weights[:1] if BACKEND == "torch" else weights)
        assert all(path in str(caught.value) for path in found)

    def test_is_the_loss_where_the_check_only_warns(self):
        x, y = self.batch()
        model = identity_model(kp.SobelGradientLoss())
        callback = kp.GradientSanityCallback(on_nonfinite="warn")
        with pytest.warns(UserWarning, match="NaN or infinity"):
            history = model.fit(
                y, x, batch_size=2, verbose=0, callbacks=[callback]
            )
        assert np.isnan(history.history["loss"]).all()


@pytest.mark.parametrize("name", ["CharbonnierLoss", "PerceptualLoss", "LPIPS"])
def test_lists_of_numbers_are_images(name):
    loss = loss_of(name)
    true, pred = photos(0, 1, 32, 32, 3), photos(1, 1, 32, 32, 3)
    expected = float(loss(true, pred))
    lists = true.tolist(), pred.tolist()
    assert float(loss(*lists)) == pytest.approx(expected, rel=1e-6)
    assert float(loss.per_image(*lists)[0]) == pytest.approx(expected, rel=1e-6)
    metric = kp.ImageLossMetric(loss)
    metric.update_state(*lists)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    if name == "PerceptualLoss":
        found = float(loss(loss.encode(lists[0]), pred))
        assert found == pytest.approx(expected, rel=1e-5)
        mask = np.ones((1, 32, 32)).tolist()
        assert float(loss((lists[0], mask), pred)) == pytest.approx(
            expected, rel=1e-5
        )
