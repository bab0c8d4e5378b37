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
        ({"a": "mse"}, r"Received: terms\['a'\]='mse'"),
        ({"loss": keras.losses.MeanSquaredError()}, "named 'loss'"),
        ({"a": (keras.losses.MeanSquaredError(), -1)}, "Received: the weight"),
        ({"a": (keras.losses.MeanSquaredError(), "x")}, "a finite number"),
    ],
)
def test_refuses_what_is_no_term(terms, message):
    with pytest.raises(ValueError, match=message):
        kp.WeightedSumLoss(terms)


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
