import numpy as np
import pytest
from keras import ops

from keras_perceptual.ops import gradient_shares
from keras_perceptual.ops.gradient_shares import DECAY


def as_array(x):
    return ops.convert_to_numpy(x)


def test_products_norms_and_cosines_are_those_of_numpy(rng):
    gradients = rng.normal(size=(3, 2, 4, 4, 3)).astype("float32")
    flat = gradients.reshape(3, -1).astype("float64")
    products = gradient_shares.dot_products(list(map(ops.array, gradients)))
    np.testing.assert_allclose(as_array(products), flat @ flat.T, rtol=1e-4)
    lengths = np.linalg.norm(flat, axis=1)
    found = gradient_shares.norms(products)
    np.testing.assert_allclose(as_array(found), lengths, rtol=1e-5)
    np.testing.assert_allclose(
        as_array(gradient_shares.shares(found)),
        lengths / lengths.sum(),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        as_array(gradient_shares.cosines(products)),
        flat @ flat.T / np.outer(lengths, lengths),
        atol=1e-5,
    )


def test_gradients_of_zeros_have_no_share_and_no_direction():
    products = gradient_shares.dot_products([ops.zeros((2, 2))] * 2)
    assert not as_array(gradient_shares.cosines(products)).any()
    assert not as_array(
        gradient_shares.shares(gradient_shares.norms(products))
    ).any()


def test_small_gradients_have_a_cosine(rng):
    """The product of their norms is too small for a float."""
    gradient = 1e-13 * rng.normal(size=(8,)).astype("float32")
    products = gradient_shares.dot_products(
        [ops.array(gradient), ops.array(-gradient)]
    )
    cosines = as_array(gradient_shares.cosines(products))
    np.testing.assert_allclose(cosines, [[1, -1], [-1, 1]], rtol=1e-5)


def test_the_average_forgets_and_a_common_factor_is_of_no_effect(rng):
    """So neither loss scaling nor the size of the batch counts."""
    lengths = rng.uniform(0.1, 2, size=(12, 3)).astype("float32")
    average, batches = ops.zeros(3), []
    for index, batch in enumerate(lengths):
        factors = rng.uniform(0.5, 2, size=3).astype("float32")
        scale = np.float32(10.0 ** (index % 4))
        average = gradient_shares.next_average(
            average, ops.array(scale * batch * factors), ops.array(factors)
        )
        batches.append(batch / np.sum(batch * factors))
    weights = DECAY ** np.arange(12)[::-1]
    by_hand = np.average(batches, axis=0, weights=weights)
    asked = np.array([0.5, 0.3, 0.2], "float32")
    np.testing.assert_allclose(
        as_array(gradient_shares.correcting_factors(average, ops.array(asked))),
        asked * np.sum(by_hand) / by_hand,
        rtol=1e-5,
    )


@pytest.mark.slow
def test_mean_shares_are_those_asked_for_where_batches_differ_a_lot(rng):
    """By a factor of three up and down, with no trend."""
    asked = np.array([0.2, 0.8], "float32")
    noise = np.exp(rng.normal(size=(3000, 2)).astype("float32"))
    average, found = np.zeros(2, "float32"), []
    for lengths in noise * np.array([1e-3, 1.0], "float32"):
        total = np.sum(average)
        factors = asked * total / average if total else np.ones(2, "float32")
        weighed = lengths * factors
        found.append(weighed / np.sum(weighed))
        average = as_array(
            gradient_shares.next_average(
                ops.array(average), ops.array(weighed), ops.array(factors)
            )
        )
    np.testing.assert_allclose(np.mean(found[50:], axis=0), asked, rtol=0.05)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_batch_without_a_gradient_leaves_the_average_as_it_is(bad):
    average = np.array([0.4, 0.6], "float32")
    lengths = np.array([1.0, bad], "float32")
    found = gradient_shares.next_average(
        ops.array(average), ops.array(lengths), ops.ones(2)
    )
    np.testing.assert_array_equal(as_array(found), average)


def test_without_a_batch_nothing_is_corrected():
    found = gradient_shares.correcting_factors(
        ops.zeros(2), ops.array([0.9, 0.1])
    )
    np.testing.assert_array_equal(as_array(found), [1, 1])


def test_shares_that_are_there_already_need_no_correction():
    """Then the balanced sum is the fixed one: the sum of norms stays."""
    average = ops.array([0.3, 0.7])
    found = gradient_shares.correcting_factors(average, average)
    np.testing.assert_allclose(as_array(found), [1, 1], rtol=1e-6)


@pytest.mark.parametrize("lengths", [(1.0, 2.0), (0.0, 1.0), (np.nan, 1.0)])
def test_whether_a_batch_teaches(lengths):
    found = gradient_shares.teaches(ops.array(lengths, "float32"))
    assert bool(found) == (lengths == (1.0, 2.0))
