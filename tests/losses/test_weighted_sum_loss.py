import checks
import keras
import numpy as np
import pytest
from keras import ops

import keras_perceptual as kp

BACKEND = keras.backend.backend()


def edges_and_pixels():
    return kp.WeightedSumLoss(
        {
            "pixels": keras.losses.MeanAbsoluteError(),
            "edges": (kp.SobelGradientLoss(), 0.05),
        }
    )


@pytest.fixture
def pair(rng):
    return [rng.uniform(size=(3, 8, 8, 3)).astype("float32") for _ in range(2)]


def test_equals_the_sum_written_by_hand(pair):
    pixels, edges = keras.losses.MeanAbsoluteError(), kp.SobelGradientLoss()
    by_hand = pixels(*pair) + 0.05 * edges(*pair)
    assert float(edges_and_pixels()(*pair)) == float(by_hand)


def test_each_term_receives_the_sample_weight(pair):
    weights = np.array([1.0, 0.0, 3.0], "float32")
    terms = {"a": kp.SobelGradientLoss(), "b": kp.CharbonnierLoss()}
    by_hand = sum(term(*pair, weights) for term in terms.values())
    assert float(kp.WeightedSumLoss(terms)(*pair, weights)) == float(by_hand)


@pytest.mark.slow
def test_perceptual_and_edges_equal_the_sum_written_by_hand(rng):
    pair = [rng.uniform(size=(2, 32, 32, 3)).astype("float32") for _ in "ab"]
    perceptual, edges = kp.PerceptualLoss("alexnet"), kp.SobelGradientLoss()
    loss = kp.WeightedSumLoss(
        {"perceptual": (perceptual, 1.0), "edges": (edges, 0.05)}
    )
    by_hand = perceptual(*pair) + 0.05 * edges(*pair)
    assert float(loss(*pair)) == float(by_hand)


def test_gradient(pair):
    true, pred = pair
    loss = kp.WeightedSumLoss(
        {
            "pixels": (keras.losses.MeanSquaredError(), 2.0),
            "edges": kp.SobelGradientLoss("l2"),
        }
    )
    checks.check_finite_differences(lambda x: loss(true, x), pred)


def test_reduction_is_that_of_the_terms(pair):
    loss = kp.WeightedSumLoss(
        {
            "a": kp.SobelGradientLoss(reduction=None),
            "b": (kp.SobelGradientLoss("l2", reduction=None), 0.5),
        }
    )
    assert tuple(loss(*pair).shape) == (3,)


def test_config_goes_through_json(pair):
    loss = edges_and_pixels()
    revived = checks.check_config(loss)
    assert float(revived(*pair)) == float(loss(*pair))


@pytest.mark.parametrize("chosen", [[0, 1, 2], [3], [2, 0]])
def test_terms_look_at_some_channels(chosen, rng):
    true, pred = rng.uniform(size=(2, 2, 12, 12, 4)).astype("float32")
    loss = kp.WeightedSumLoss(
        {"all": "mse", "some": (kp.SobelGradientLoss(), 0.5)},
        channels={"some": chosen},
    )
    mask = (true[..., 0] > 0.3).astype("float32")
    some = kp.SobelGradientLoss()(true[..., chosen], pred[..., chosen], mask)
    every = keras.losses.MeanSquaredError()(true, pred, mask)
    assert float(loss(true, pred, mask)) == pytest.approx(
        float(every) + 0.5 * float(some), rel=1e-5
    )
    # A mask that comes with the target has no channels to choose.
    (seen, same), _ = loss._seen("some", (true, mask), pred)
    np.testing.assert_array_equal(seen, true[..., chosen])
    assert same is mask
    revived = checks.check_config(loss)
    assert float(revived(true, pred)) == float(loss(true, pred))
    (gradient,) = checks.gradients(
        lambda x: loss.terms["some"][0](
            *loss._seen("some", true, x)  # The term alone.
        ),
        pred,
    )
    left_out = [c for c in range(4) if c not in chosen]
    assert np.any(gradient[..., chosen] != 0)
    assert not np.any(gradient[..., left_out])


def test_channels_go_by_the_layout_of_the_term(rng):
    true, pred = rng.uniform(size=(2, 2, 4, 12, 12)).astype("float32")
    term = kp.CharbonnierLoss(data_format="channels_first")
    loss = kp.WeightedSumLoss({"some": term}, channels={"some": [1, 2]})
    assert float(loss(true, pred)) == pytest.approx(
        float(term(true[:, 1:3], pred[:, 1:3])), rel=1e-6
    )


def test_refuses_channels_that_images_lack(pair):
    loss = kp.WeightedSumLoss({"a": "mse"}, channels={"a": [0, 7]})
    with pytest.raises(ValueError, match="Count from 0"):
        loss(*pair)


def test_sums_within_sums_have_an_end(pair):
    loss = kp.SSIMLoss()
    config = keras.saving.serialize_keras_object(
        kp.WeightedSumLoss({"a": loss})
    )
    depth = 0
    with pytest.raises(ValueError, match=r"depth of 20 at most.*side by side"):
        for depth in range(300):  # noqa: B007
            loss = kp.WeightedSumLoss({"a": loss})
    assert depth == 20
    checks.check_config(loss)
    for _ in range(300):
        inner = {**config, "config": dict(config["config"])}
        inner["config"]["terms"] = {"a": [config, 1.0]}
        config = inner
    with pytest.raises(ValueError, match="side by side"):
        keras.saving.deserialize_keras_object(config)


def test_a_watcher_is_not_kept_alive(pair):
    class Watcher:
        seen = ()

        def record(self, values, batch_size):
            Watcher.seen = *Watcher.seen, (sorted(values), int(batch_size))

    loss, watcher = edges_and_pixels(), Watcher()
    loss.watch(watcher)
    loss(*pair)
    assert Watcher.seen == ((["edges", "pixels"], 3),)
    del watcher
    loss(*pair)
    assert len(Watcher.seen) == 1


def test_the_sum_of_a_compiled_model_is_that_of_its_terms(pair):
    x, y = pair
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1, name="conv")]
    )
    model.compile("sgd", edges_and_pixels())
    value = model.evaluate(x, y, verbose=0)
    expected = edges_and_pixels()(y, ops.convert_to_numpy(model(x)))
    np.testing.assert_allclose(value, float(expected), rtol=1e-5)


def test_call_is_the_sum_as_it_is_called():
    loss = kp.WeightedSumLoss({"pixels": ("mae", 0.5), "squares": "mse"})
    true, pred = np.zeros((2, 4)), np.full((2, 4), 2.0)
    assert float(loss.call(true, pred)) == float(loss(true, pred)) == 5.0


def test_defaults_are_the_documented_ones():
    checks.check_defaults(kp.WeightedSumLoss)


# Shares of the gradient.


def balanced(terms=None, **options):
    options = {"balance": "gradient", "shares": {"a": 0.2, "b": 0.8}} | options
    return kp.WeightedSumLoss(terms or TERMS, **options)


TERMS = {
    "a": ("mse", 0.5),
    "b": (kp.SobelGradientLoss("l2"), 2.0),
}


def gradient(function, x):
    """Returns a gradient as an array, of which nobody else is told."""
    return checks.gradients(function, x)[0]


def twin(terms, asked, steps, decay=0.9):
    """Balances by hand: gradients of each term alone, and NumPy.

    Yields the weights before each step, and the gradient of that step.
    """
    average = None
    for true, pred in steps:
        alone = [
            given * gradient(lambda x, t=term, y=true: t(y, x), pred)
            for term, given in terms.values()
        ]
        factors = np.ones(len(alone))
        if average is not None:
            factors = np.array(asked) * np.sum(average) / average
        yield (
            [f * w for f, (_, w) in zip(factors, terms.values(), strict=True)],
            sum(f * g for f, g in zip(factors, alone, strict=True)),
        )
        lengths = np.array([np.linalg.norm(g) for g in alone])
        batch = lengths / np.sum(factors * lengths)
        average = decay * (0 if average is None else average) + batch


def test_balanced_weights_and_gradients_are_those_of_a_twin(rng):
    """Values, weights and gradients, and nothing moves in an evaluation."""
    steps = rng.uniform(size=(6, 2, 3, 8, 8, 3)).astype("float32")
    steps *= np.linspace(0.2, 1, 6, dtype="float32")[
        :, None, None, None, None, None
    ]
    loss = balanced()
    expected = twin(loss.terms, [0.2, 0.8], steps)
    for (true, pred), (weights, slope) in zip(steps, expected, strict=True):
        found = [float(w) for w in loss.term_weights().values()]
        np.testing.assert_allclose(found, weights, rtol=1e-4)
        by_hand = sum(
            w * float(term(true, pred))
            for w, (term, _) in zip(weights, loss.terms.values(), strict=True)
        )
        np.testing.assert_allclose(float(loss(true, pred)), by_hand, rtol=1e-4)
        np.testing.assert_allclose(
            gradient(lambda x, y=true: loss(y, x), pred),
            slope,
            rtol=1e-3,
            atol=1e-3 * np.max(np.abs(slope)),
        )
    assert weights != [0.5, 2.0]


def test_a_balanced_sum_has_a_true_gradient(pair):
    """That of the sum whose weights are at present those of the balance."""
    true, pred = pair
    loss = balanced()
    (average,) = loss.variables

    def value(x):
        average.assign([0.05, 0.15])
        return loss(true, x)

    checks.check_finite_differences(value, pred)
    average.assign([0.05, 0.15])
    weights = loss.term_weights()
    assert {n: float(w) for n, w in weights.items()} == pytest.approx(
        {"a": 0.4, "b": 2 * 0.8 / 0.75}, rel=1e-5
    )


def test_shares_of_a_step_are_those_that_were_asked_for(pair):
    true, pred = pair
    loss = balanced(shares={"a": 5, "b": 15})
    gradient(lambda x: loss(true, x), pred)
    lengths = [
        float(weight)
        * np.linalg.norm(gradient(lambda x, t=term: t(true, x), pred))
        for weight, (term, _) in zip(
            loss.term_weights().values(), loss.terms.values(), strict=True
        )
    ]
    np.testing.assert_allclose(lengths[0] / sum(lengths), 0.25, rtol=1e-5)
    # The sum of the norms is that of the weights that were given.
    given = [
        weight * np.linalg.norm(gradient(lambda x, t=term: t(true, x), pred))
        for term, weight in loss.terms.values()
    ]
    np.testing.assert_allclose(sum(lengths), sum(given), rtol=1e-5)


@pytest.mark.parametrize("name", ["nan", "equal", "integers"])
def test_batches_that_tell_nothing_leave_the_weights(name, pair):
    """One that is not finite, one without a gradient, and integers."""
    true, pred = pair
    loss = balanced({"a": ("mse", 1.0), "b": ("mae", 1.0)})
    gradient(lambda x: loss(true, x), pred)
    before = [float(w) for w in loss.term_weights().values()]
    if name == "integers":
        zeros = np.zeros((2, 4), "int32")
        assert float(loss(zeros, zeros)) == 0.0
    else:
        pred = true.copy() if name == "equal" else pred * np.float32("nan")
        gradient(lambda x: loss(true, x), pred)
    assert [float(w) for w in loss.term_weights().values()] == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_gradients_in_half_precision_are_measured_in_single(dtype, rng):
    """Their squares would be zero in half precision; double stays double."""
    if (dtype, BACKEND) == ("float64", "jax"):
        pytest.skip("has no float64 as it is set up")
    true = rng.uniform(size=(2, 64, 64, 3)).astype("float32")
    pred = ops.cast(true + 1e-3 * rng.normal(size=true.shape), dtype)
    weights = []
    for x in (pred, ops.cast(pred, "float32")):
        loss = balanced({"a": ("mse", 1.0), "b": (kp.CharbonnierLoss(), 1.0)})
        found = half_gradient(lambda x, loss=loss: loss(true, x), x)
        assert found.dtype == x.dtype
        weights.append([float(w) for w in loss.term_weights().values()])
    np.testing.assert_allclose(*weights, rtol=1e-4)
    assert weights[0][0] != 1.0


def half_gradient(function, x):
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)
    if BACKEND == "jax":
        import jax

        return jax.grad(function)(x)
    x = x.clone().requires_grad_()
    function(x).backward()
    return x.grad


def test_a_term_of_no_weight_has_no_share(pair):
    true, pred = pair
    terms = TERMS | {"shown": (kp.CharbonnierLoss(), 0)}
    loss = balanced(terms)
    gradient(lambda x: loss(true, x), pred)
    weights = {n: float(w) for n, w in loss.term_weights().items()}
    assert weights["shown"] == 0 and weights["a"] != 0.5
    assert balanced(terms, shares=None)._balance.names == ["a", "b"]


def test_a_balance_goes_through_json(pair):
    true, pred = pair
    loss = balanced(shares={"b": 3, "a": 1})
    revived = checks.check_config(loss)
    assert revived.shares == {"a": 1.0, "b": 3.0}
    assert revived.balance == "gradient"
    for each in (loss, revived):
        gradient(lambda x, each=each: each(true, x), pred)
    assert float(revived(true, pred)) == float(loss(true, pred))


def test_without_a_balance_nothing_is_kept_and_old_files_load():
    loss = edges_and_pixels()
    assert loss.variables == [] and loss.balance is loss.shares is None
    assert loss.term_weights() == {"pixels": 1.0, "edges": 0.05}
    config = loss.get_config()
    del config["balance"], config["shares"]
    assert type(loss).from_config(config).get_config() == loss.get_config()


def test_refuses_a_term_that_is_not_reduced_when_it_is_called(pair):
    """A sum within the sum, whose own reduction says nothing."""
    inner = kp.WeightedSumLoss(
        {"c": kp.SSIMLoss(filter_size=3, reduction=None)}
    )
    loss = balanced({"a": "mse", "b": inner})
    with pytest.raises(ValueError, match="Give each a `reduction`"):
        loss(*pair)


@pytest.mark.parametrize("trained_alone", [False, True])
def test_parameters_of_a_term_keep_their_gradient(trained_alone, rng):
    """What a term learns itself, as an adversary does, is not cut off."""
    true, pred, scale = rng.uniform(size=(3, 2, 4)).astype("float32")

    class Scaled(keras.losses.Loss):
        scale = None

        def call(self, y_true, y_pred):
            return ops.mean((y_pred * Scaled.scale - y_true) ** 2, axis=-1)

    def value(pred, scale, loss):
        Scaled.scale = scale
        return loss(true, pred)

    found = [
        checks.gradients(
            lambda p, s, loss=loss: value(
                ops.stop_gradient(p) if trained_alone else p, s, loss
            ),
            pred,
            scale,
        )[1]
        for loss in (
            balanced({"a": Scaled(), "b": "mse"}),
            kp.WeightedSumLoss({"a": Scaled(), "b": "mse"}),
        )
    ]
    np.testing.assert_allclose(*found, rtol=1e-5)
    assert np.any(found[0])


@pytest.mark.parametrize("term", [3, (3, 0.1), "unknown", ("mse", -1.0)])
def test_a_long_name_is_not_repeated_whole(term):
    with pytest.raises(ValueError, match="Received: ") as raised:
        kp.WeightedSumLoss({"a" * 9999: term})
    assert len(str(raised.value)) < 900
