import dataclasses

import keras
import numpy as np
import pytest

from keras_perceptual.gradients import statistics, tracers
from keras_perceptual.gradients.statistics import (
    SUMS,
    WIDTH,
    GradientStatistics,
    ratio_of_norms,
    scaled_norms,
    statistics_rows,
    update_rows,
    weight_norm,
)


def compiled(function):
    """Returns a function that is traced, as a step is."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        function = tf.function(function)
    if backend == "jax":
        import jax

        function = jax.jit(function)
    return lambda *tensors: keras.ops.convert_to_numpy(function(*tensors))


def statistics_of(values, dtype="float32", **arguments):
    """Returns what is found with the norms of the backend, and of all."""
    tensor = keras.ops.convert_to_tensor(np.asarray(values), dtype=dtype)
    # The others show that rows do not mix.
    others = [keras.ops.convert_to_tensor([[2.0, np.nan]])] * 2
    gradients = [others[0], tensor, others[1]]
    found, scaled = (
        GradientStatistics.from_row(
            compiled(
                lambda *gradients, norms=norms: statistics_rows(
                    gradients, norms, **arguments
                )
            )(*gradients)[1]
        )
        for norms in (tracers.load("tracer").norms, scaled_norms)
    )
    assert (
        dataclasses.replace(scaled, norm=found.norm, data_norm=found.data_norm)
        == found
    )
    np.testing.assert_allclose(
        (scaled.norm, scaled.data_norm),
        (found.norm, found.data_norm),
        rtol=1e-6,
    )
    return found


def test_ordinary_gradient():
    found = statistics_of([[3.0, 0.0], [0.0, -4.0]])
    assert found == GradientStatistics(
        calls=1, nonzero=1, norm=5.0, data_norm=5.0
    )


def test_zero_gradient():
    assert statistics_of(np.zeros((3, 2))) == GradientStatistics(calls=1)


def test_variable_without_elements():
    assert statistics_of(np.zeros((0, 2))) == GradientStatistics(calls=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gradient_that_is_not_finite(value):
    found = statistics_of([1.0, value])
    assert found == GradientStatistics(calls=1, nonzero=1, nonfinite=1)


def test_norm_of_numbers_whose_squares_vanish():
    found = statistics_of([3e-30, 4e-30])
    np.testing.assert_allclose(found.norm, 5e-30, rtol=1e-5)


def test_norm_of_numbers_whose_squares_overflow():
    found = statistics_of([3e30, 4e30])
    np.testing.assert_allclose(found.norm, 5e30, rtol=1e-5)
    assert found.nonfinite == 0


def test_half_precision_norm_is_computed_in_single_precision():
    found = statistics_of([30000.0, 40000.0], dtype="float16")
    assert (found.norm, found.nonfinite) == (50000.0, 0)


@pytest.mark.parametrize("is_dynamic", [False, True])
def test_norm_is_that_of_the_unscaled_gradient(is_dynamic):
    found = statistics_of([3.0, 4.0], loss_scale=32.0, is_dynamic=is_dynamic)
    assert found.norm == 5.0 / 32.0


@pytest.mark.parametrize(
    "scale, is_dynamic, explained",
    [(32.0, True, 1), (1.0, True, 1), (0.5, True, 0), (32.0, False, 0)],
)
def test_overflow_is_explained_by_a_scale_that_can_come_down(
    scale, is_dynamic, explained
):
    found = statistics_of([np.inf], loss_scale=scale, is_dynamic=is_dynamic)
    assert (found.overflowed, found.nonfinite) == (explained, 1 - explained)


@pytest.mark.parametrize("scale", [None, 8.0])
@pytest.mark.parametrize(
    ("gradient", "penalty", "data_norm"),
    [([3.0, 4.0], [0.0, 4.0], 3.0), ([3.0, 4.0], [3.0, 4.0], 0.0)],
    ids=["beside a loss", "alone"],
)
def test_norm_without_what_a_penalty_adds(gradient, penalty, data_norm, scale):
    """The penalty is given as it is, the gradient with the loss scale."""
    gradient = np.multiply(gradient, scale or 1.0)
    found = statistics_of(
        gradient, loss_scale=scale, penalties={1: np.array(penalty)}
    )
    assert (found.norm, found.data_norm) == (5.0, data_norm)
    assert found.only_penalized is (data_norm == 0)


def test_penalty_on_one_leaves_the_others_as_they_are():
    found = statistics_of([3.0, 4.0], penalties={0: np.array([[2.0, 1.0]])})
    assert (found.norm, found.data_norm) == (5.0, 5.0)


def test_rounding_is_no_gradient_beside_a_penalty():
    def statistics(data_norm, norm=2.0):
        return GradientStatistics(1, 1, norm=norm, data_norm=data_norm)

    assert statistics(1e-6).only_penalized
    assert not statistics(1e-5).only_penalized
    # Zeros everywhere are nobody's work.
    assert not statistics(0.0, norm=0.0).only_penalized


@pytest.mark.parametrize(
    ("counts", "norm"),
    [
        (dict(calls=2, nonfinite=1), 3.0),
        (dict(calls=2, overflowed=1), 3.0),
        (dict(calls=2, nonfinite=1, overflowed=1), None),
        (dict(calls=2, nonfinite=2), None),
        (dict(), None),
    ],
)
def test_norm_of_the_finite_gradients(counts, norm):
    assert GradientStatistics(**counts, norm=3.0).finite_norm == norm


@pytest.mark.parametrize("counts, share", [(True, 0.5), (False, 0.0)])
def test_share_of_exact_zeros(counts, share):
    found = statistics_of([0.0, -0.0, 1e-30, np.nan], counts_zeros=counts)
    assert found.zeros == share


def test_what_a_step_did_to_variables():
    """The norms of the weights and of what was added to them."""
    before = [np.array([3.0, 0.0], "float32"), np.ones(4, "float32")]
    after = [np.array([3.0, 4.0], "float32"), np.full(4, np.nan, "float32")]
    convert = keras.ops.convert_to_tensor
    for norms in (tracers.load("tracer").norms, scaled_norms):
        rows = keras.ops.convert_to_numpy(
            update_rows(
                [convert(x) for x in before],
                [convert(x) for x in after],
                norms,
            )
        )
        np.testing.assert_allclose(rows[0], [5.0, 4.0], rtol=1e-6)
        assert not np.isfinite(rows[1]).any()


def test_rows_of_several_calls():
    """Counts add up; of norms the largest one counts."""
    total = np.zeros(WIDTH)
    for row in ([1, 1, 0, 1, 2.0, 3.0, 0.25], [1, 0, 1, 0, 5.0, 1.0, 0.5]):
        GradientStatistics.add_rows(total, np.array(row))
    assert len(total[:SUMS]) == 4
    assert GradientStatistics.from_row(total) == GradientStatistics(
        calls=2,
        nonzero=1,
        nonfinite=1,
        overflowed=1,
        norm=5.0,
        data_norm=3.0,
        zeros=0.5,
    )


def test_share_in_the_weights(monkeypatch):
    variable = keras.Variable(np.array([[3.0, 0.0], [0.0, 4.0]]))
    assert weight_norm(variable) == 5.0
    monkeypatch.setattr(statistics, "PIECE", 3)
    assert weight_norm(variable) == 5.0
    assert ratio_of_norms(1.0, 4.0) == 0.25
    assert ratio_of_norms(1.0, 0.0) is None


@pytest.mark.tensorflow_only
def test_norms_of_tensors_whose_shape_is_not_known():
    """Nor of many elements: each is looked at by itself."""
    import tensorflow as tf

    specs = [
        tf.TensorSpec([None, 2]),
        tf.TensorSpec([2]),
        tf.TensorSpec([None]),
    ]
    norms = tf.function(lambda *x: scaled_norms(x), input_signature=specs)
    found = norms(
        tf.ones([8, 2]), tf.constant([3.0, 4.0]), tf.constant([2.0, 0.0, 0.0])
    )
    assert found.numpy().tolist() == [4, 5, 2]


def test_norms_of_large_tensors_are_in_their_order(monkeypatch):
    monkeypatch.setattr(statistics, "MOST_STACKED", 4)
    tensors = [
        keras.ops.full(shape, value)
        for shape, value in (
            ((16,), 1.0),
            ((4,), 2.0),
            ((16,), 3.0),
            ((4,), 4.0),
        )
    ]
    found = keras.ops.convert_to_numpy(scaled_norms(tensors))
    assert found.tolist() == [4, 4, 12, 8]


def test_a_scale_stays_unless_it_is_said_to_adapt():
    found = statistics_of([np.inf], loss_scale=32.0)
    assert (found.overflowed, found.nonfinite) == (0, 1)
