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


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, r"Received: terms=\{\}"),
        ([keras.losses.MeanSquaredError()], "needs a dictionary"),
        ({"a": "mea"}, r"Did you mean 'mse'|Received: terms\['a'\]='mea'"),
        ({"a": "mean_absolut_error"}, "Did you mean 'mean_absolute_error'"),
        ({"a": (0.1, kp.SSIMLoss())}, r"in front of its weight: \(loss, 0.1\)"),
        ({"a": (0.1, "mse")}, r"in front of its weight: \(loss, 0.1\)"),
        ({"a": kp.SSIMLoss}, r"Create one: `SSIMLoss\(\)`"),
        ({"a": keras.losses.mean_squared_error}, "put a function into"),
        ({"a": (kp.SSIMLoss(), 1, 2)}, "a pair of a loss and its weight"),
        ({"loss": keras.losses.MeanSquaredError()}, "named 'loss'"),
        ({"a": (keras.losses.MeanSquaredError(), -1)}, "Received: the weight"),
        ({"a": (keras.losses.MeanSquaredError(), "x")}, "a finite number"),
    ],
)
def test_refuses_what_is_no_term(terms, message):
    with pytest.raises(ValueError, match=message):
        kp.WeightedSumLoss(terms)


@pytest.mark.parametrize(
    "name", ["mse", "MSE", "mean_squared_error", "MeanSquaredError"]
)
def test_losses_of_keras_by_name(name, pair):
    loss = kp.WeightedSumLoss({"a": (name, 0.5)})
    expected = 0.5 * float(keras.losses.MeanSquaredError()(*pair))
    assert float(loss(*pair)) == pytest.approx(expected, rel=1e-6)
    checks.check_config(loss)


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


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ([0, 1], "a dictionary from names"),
        ({"b": [0]}, r"The terms are \['a'\]"),
        ({"a": []}, "at least one integer"),
        ({"a": [-1]}, "at least 0"),
    ],
)
def test_refuses_what_are_no_channels(channels, message):
    with pytest.raises(ValueError, match=message):
        kp.WeightedSumLoss({"a": "mse"}, channels=channels)


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
