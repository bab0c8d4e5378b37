import keras
import numpy as np
import pytest
from keras import ops
from sampling import sample

import keras_perceptual as kp

BACKEND = keras.backend.backend()
WAYS = {
    "tensorflow": [{"jit_compile": False}, {"jit_compile": True}],
    "jax": [{}],
    "torch": [{}],
}[BACKEND] + [{"run_eagerly": True, "jit_compile": False}]


def sum_of_losses():
    return kp.WeightedSumLoss(
        {
            "pixels": keras.losses.MeanSquaredError(),
            "edges": (kp.SobelGradientLoss("l2"), 0.25),
        }
    )


def compiled(loss, **options):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1, name="conv")]
    )
    model.compile(
        keras.optimizers.SGD(0.01),
        loss,
        metrics=[kp.LossTerms(loss)],
        **options,
    )
    return model


@pytest.fixture
def images(rng):
    """Five images, so that batches of two are uneven."""
    return rng.uniform(size=(5, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("way", sample(WAYS), ids=str)
def test_fit_shows_the_terms(way, images):
    model = compiled(sum_of_losses(), **way)
    history = model.fit(
        images,
        images[::-1],
        batch_size=2,
        epochs=3,
        verbose=0,
        validation_data=(images, images[::-1]),
    ).history
    assert sorted(history) == [
        "edges", "loss", "pixels", "val_edges", "val_loss", "val_pixels",
    ]  # fmt: skip
    for begin in ("", "val_"):
        pixels, edges, total = (
            np.array(history[begin + name])
            for name in ("pixels", "edges", "loss")
        )
        np.testing.assert_allclose(pixels + 0.25 * edges, total, rtol=1e-5)
        assert np.all(np.diff(total) < 0)


def test_values_are_means_over_images_before_the_weights(images):
    loss = sum_of_losses()
    model = compiled(loss)
    found = model.evaluate(
        images, images[::-1], batch_size=2, verbose=0, return_dict=True
    )
    pred = ops.convert_to_numpy(model(images))
    for name, (term, _) in loss.terms.items():
        np.testing.assert_allclose(
            found[name], float(term(images[::-1], pred)), rtol=1e-5
        )


def test_no_term_is_computed_twice(images):
    calls = []

    class Counting(keras.losses.MeanSquaredError):
        def call(self, y_true, y_pred):
            calls.append(1)
            return super().call(y_true, y_pred)

    loss = kp.WeightedSumLoss({"pixels": Counting()})
    model = compiled(loss, run_eagerly=True, jit_compile=False)
    model.train_on_batch(images, images)
    calls.clear()
    model.train_on_batch(images, images)
    assert len(calls) == 1


def test_the_loaded_metric_watches_the_loaded_loss(images, tmp_path):
    model = compiled(sum_of_losses())
    model.fit(images, images[::-1], verbose=0)
    expected = model.evaluate(images, images[::-1], verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = loaded.evaluate(images, images[::-1], verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_metric_of_another_loss_does_not_pretend(images):
    loss = sum_of_losses()
    model = compiled(loss)
    model.compile("sgd", loss, metrics=[kp.LossTerms(sum_of_losses())])
    found = model.evaluate(images, images, verbose=0, return_dict=True)
    assert np.isnan(found["edges"])


def test_reset_forgets(images):
    loss = sum_of_losses()
    terms = kp.LossTerms(loss)
    loss(images, images[::-1])
    loss(images[:1], images[:1])
    value = float(terms.result()["pixels"])
    expected = np.mean((images - images[::-1]) ** 2) * 5 / 6
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    terms.reset_state()
    assert np.isnan(float(terms.result()["pixels"]))


@pytest.mark.skipif(BACKEND != "jax", reason="is about JAX alone")
def test_a_trace_that_keras_does_not_know_of_leaves_nothing_behind(images):
    import jax

    loss = sum_of_losses()
    terms = kp.LossTerms(loss)
    jax.jit(jax.grad(lambda x: loss(images, x)))(images)
    assert np.isnan(float(terms.result()["pixels"]))


def test_refuses_what_is_not_a_sum():
    with pytest.raises(ValueError, match="Received: loss="):
        kp.LossTerms(keras.losses.MeanSquaredError())
