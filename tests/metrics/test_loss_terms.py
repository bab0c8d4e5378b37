import checks
import keras
import numpy as np
import pytest
from keras import ops
from sampling import rarely, sample

import keras_perceptual as kp
from keras_perceptual.losses.watchers import parts_of

BACKEND = keras.backend.backend()
WAYS = {
    "tensorflow": [{"jit_compile": False}, {"jit_compile": True}],
    "jax": [{}],
    "torch": [{}],
}[BACKEND] + [{"run_eagerly": True, "jit_compile": False}]

# What is traced takes longer than what is computed once.
QUICK = WAYS[-1] if BACKEND == "tensorflow" else {}


def sum_of_losses():
    return kp.WeightedSumLoss(
        {
            "pixels": keras.losses.MeanSquaredError(),
            "edges": (kp.SobelGradientLoss("l2"), 0.25),
        }
    )


def compiled(loss, **options):
    keras.utils.set_random_seed(0)
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


def saved_as_h5(model, path):
    model.save(path / "model.h5")
    loaded = keras.models.load_model(path / "model.h5")
    # That of the file knows of no variable.
    loaded.optimizer = keras.optimizers.SGD(0.01)
    return loaded


def compiled_with_two_losses(model, path):
    model.compile(
        model.optimizer,
        sum_of_losses(),
        metrics=[kp.LossTerms(sum_of_losses())],
    )
    return model


def cloned(model, path):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    clone.compile_from_config(model.get_compile_config())
    return clone


def compiled_again(model, path):
    """The metric has followed another loss before."""
    model.evaluate(*two_batches(), verbose=0)
    (terms,) = parts_of(model, kp.LossTerms)
    terms.reset_state()
    model.compile(model.optimizer, sum_of_losses(), metrics=[terms])
    return model


def two_batches():
    images = np.random.default_rng(1).uniform(size=(4, 8, 8, 3))
    return images.astype("float32"), images[::-1].astype("float32")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@pytest.mark.parametrize("way", sample(WAYS), ids=str)
@pytest.mark.parametrize(
    "change",
    [saved_as_h5, compiled_with_two_losses, cloned, compiled_again],
)
def test_finds_the_loss_of_its_model(images, tmp_path, way, change):
    model = compiled(sum_of_losses())
    model.fit(images, images[::-1], verbose=0)
    expected = model.evaluate(images, images[::-1], verbose=0, return_dict=True)
    model = change(model, tmp_path)
    model.run_eagerly = way.get("run_eagerly", False)
    found = model.evaluate(images, images[::-1], verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)
    history = model.fit(images, images[::-1], verbose=0).history
    assert np.isfinite(history["edges"]).all()
    assert found == pytest.approx(
        {name: values[0] for name, values in history.items()}, rel=1e-5
    )


def test_each_output_keeps_its_own_loss(images):
    """None is taken for that of another output, whichever comes first."""
    inputs = keras.Input((8, 8, 3))
    outputs = {
        name: keras.layers.Conv2D(3, 1, name=name)(inputs) for name in "ab"
    }
    model = keras.Model(inputs, outputs)
    losses = {name: sum_of_losses() for name in "ab"}
    terms = kp.LossTerms(losses["b"])
    model.compile("sgd", losses, metrics={"b": [terms]})
    targets = {name: images[::-1] for name in "ab"}
    found = model.evaluate(images, targets, verbose=0, return_dict=True)
    assert terms.loss is losses["b"]
    pred = ops.convert_to_numpy(model(images)["b"])
    expected = float(losses["b"].terms["pixels"][0](images[::-1], pred))
    shown = next(value for name, value in found.items() if "pixels" in name)
    np.testing.assert_allclose(shown, expected, rtol=1e-5)


def test_without_such_a_loss_the_first_step_says_what_to_pass(images):
    model = compiled(sum_of_losses())
    model.compile("sgd", "mse", metrics=[kp.LossTerms(sum_of_losses())])
    with pytest.raises(ValueError, match=r"metrics=\[LossTerms\(loss\)\]"):
        model.fit(images, images, verbose=0)


def test_in_a_loop_of_ones_own_it_says_so_as_well(images):
    terms = kp.LossTerms(sum_of_losses())
    sum_of_losses()(images, images[::-1])
    terms.update_state(images, images)
    with pytest.raises(ValueError, match="a loss that was not called"):
        terms.result()
    terms.loss(images, images)
    assert float(terms.result()["pixels"]) == 0


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


# Of gradients.


class Against(keras.losses.Loss):
    """Asks for all that another loss does not want."""

    def call(self, y_true, y_pred):
        return 1 - ops.mean(ops.abs(y_pred - y_true), axis=(1, 2, 3))


class Broken(keras.losses.Loss):
    """Is 0 for everything, and its slope is none."""

    def call(self, y_true, y_pred):
        return ops.mean(ops.sqrt((y_pred - y_pred) ** 2), axis=(1, 2, 3))


def watched(loss, **options):
    model = compiled(loss, **options)
    model.compile(
        keras.optimizers.SGD(0.01),
        loss,
        metrics=[kp.LossTerms(loss, gradients=True)],
        **options,
    )
    return model


def balanced_sum(**shares):
    loss = sum_of_losses()
    return kp.WeightedSumLoss(loss.terms, balance="gradient", shares=shares)


@pytest.mark.parametrize("way", sample(WAYS), ids=str)
def test_fit_shows_shares_and_cosines_but_in_an_evaluation(way, images):
    """In every epoch, though what was traced last may be the evaluation."""
    loss = balanced_sum(pixels=1, edges=3)
    model = watched(loss, **way)
    history = model.fit(
        images[:4],
        images[3::-1],
        batch_size=2,
        epochs=3,
        verbose=0,
        validation_data=(images, images[::-1]),
    ).history
    assert {name: len(values) for name, values in history.items()} == (
        dict.fromkeys(
            (
                *("loss", "pixels", "edges", "pixels_share", "edges_share"),
                *("pixels_edges_cosine", "val_loss", "val_pixels", "val_edges"),
            ),
            3,
        )
    )
    np.testing.assert_allclose(history["pixels_share"][1:], 0.25, rtol=0.05)
    np.testing.assert_allclose(
        np.add(history["edges_share"], history["pixels_share"]), 1, rtol=1e-5
    )
    assert np.all(np.abs(history["pixels_edges_cosine"]) <= 1)


def test_shares_are_those_of_weighed_gradients(images):
    loss = sum_of_losses()
    model = watched(loss, **QUICK)
    history = model.fit(
        images, images[::-1], batch_size=5, verbose=0, shuffle=False
    ).history
    pred = ops.convert_to_numpy(compiled(sum_of_losses())(images))
    slopes = [
        weight * checks.gradients(lambda x, t=term: t(images[::-1], x), pred)[0]
        for term, weight in loss.terms.values()
    ]
    lengths = [np.linalg.norm(slope) for slope in slopes]
    assert history["pixels_share"][0] == pytest.approx(
        lengths[0] / sum(lengths), rel=1e-3
    )
    assert history["pixels_edges_cosine"][0] == pytest.approx(
        np.sum(slopes[0] * slopes[1]) / np.prod(lengths), rel=1e-3, abs=1e-5
    )


@pytest.mark.slow
def test_looking_at_gradients_changes_none(images):
    weights = []
    for make in (compiled, watched):
        model = make(sum_of_losses(), **QUICK)
        model.fit(images, images[::-1], batch_size=2, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for plain, seen in zip(*weights, strict=True):
        np.testing.assert_allclose(seen, plain, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "term", "message"),
    [
        ("against", Against(), "'pixels' and 'against' oppose each other"),
        ("broken", Broken(), "the gradient of 'broken' was the first"),
    ],
)
def test_says_in_one_line_which_term_is_to_blame(name, term, message, images):
    loss = kp.WeightedSumLoss({"pixels": "mae", name: (term, 0.5)})
    model = watched(loss, **QUICK)
    with pytest.warns(UserWarning, match=message) as told:
        model.fit(images, images[::-1], epochs=2, verbose=0)
    told = [w for w in told if "LossTerms" in str(w.message)]
    assert len(told) == 1 and "\n" not in str(told[0].message)


def test_reset_keeps_what_the_loss_keeps(images):
    loss = balanced_sum(pixels=1, edges=3)
    terms = kp.LossTerms(loss, gradients=True)
    (average,) = loss.variables
    assert terms.variables[-1] is average
    average.assign([0.1, 0.2])
    terms.reset_state()
    np.testing.assert_allclose(ops.convert_to_numpy(average), [0.1, 0.2])


def test_refuses_names_that_are_shown_already():
    loss = kp.WeightedSumLoss({"a": "mse", "a_share": "mae"})
    with pytest.raises(ValueError, match=r"Rename.*Received.*\['a_share'\]"):
        kp.LossTerms(loss, gradients=True)


def saved_whole(model, folder):
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    loaded.run_eagerly = model.run_eagerly
    return loaded


def saved_weights(model, folder):
    """Into a model of the same terms, as `BackupAndRestore` does."""
    model.save_weights(folder / "model.weights.h5")
    loaded = watched(balanced_sum(pixels=1, edges=3), **QUICK)
    loaded.optimizer.build(loaded.trainable_variables)
    loaded.load_weights(folder / "model.weights.h5")
    return loaded


@pytest.mark.parametrize("save", [saved_whole, rarely(saved_weights)])
def test_a_loaded_model_goes_on_with_the_same_weights(save, images, tmp_path):
    model = watched(balanced_sum(pixels=1, edges=3), **QUICK)
    model.fit(images, images[::-1], batch_size=2, verbose=0, shuffle=False)
    loaded = save(model, tmp_path)
    weights = [
        {name: float(w) for name, w in each.loss.term_weights().items()}
        for each in (model, loaded)
    ]
    assert weights[0] == weights[1] != {"pixels": 1, "edges": 0.25}
    histories = [
        each.fit(
            images, images[::-1], batch_size=2, verbose=0, shuffle=False
        ).history
        for each in (model, loaded)
    ]
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-5)


def test_files_with_and_without_a_balance_load_each_other(images, tmp_path):
    path = tmp_path / "model.weights.h5"
    model = watched(balanced_sum(pixels=1, edges=3), **QUICK)
    plain = compiled(sum_of_losses(), **QUICK)
    model.fit(images, images[::-1], batch_size=2, verbose=0)
    model.save_weights(path)
    plain.load_weights(path)
    plain.save_weights(path)
    before = ops.convert_to_numpy(model.loss.variables[0])
    model.load_weights(path)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model.loss.variables[0]), before
    )


@pytest.mark.skipif(BACKEND != "jax", reason="JAX alone needs it")
def test_without_the_metric_a_step_on_jax_says_to_add_it(images):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)]
    )
    model.compile("sgd", balanced_sum(pixels=1, edges=3))
    assert np.isfinite(model.evaluate(images, images, verbose=0)).all()
    with pytest.raises(ValueError, match=r"metrics=\[LossTerms\(loss\)\]"):
        model.fit(images, images[::-1], verbose=0)


@pytest.mark.parametrize("overflow", [True, rarely(False)])
def test_loss_scaling_has_no_effect_on_shares(overflow, images):
    """Nor do steps that overflow, in which nothing is learned."""
    averages = []
    for scale in (1.0, 2.0**14):
        loss = balanced_sum(pixels=1, edges=3)
        model = watched(loss)
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.0),
            initial_scale=3e38 if overflow and scale > 1 else scale,
        )
        model.compile(optimizer, loss, metrics=[kp.LossTerms(loss)], **QUICK)
        model.fit(images, images[::-1], batch_size=5, verbose=0)
        averages.append(ops.convert_to_numpy(loss.variables[0]))
    if overflow and BACKEND != "jax":
        assert not averages[1].any()
    else:
        np.testing.assert_allclose(*averages, rtol=1e-4)
    assert np.isfinite(averages[1]).all()
