import linecache

import keras
import numpy as np
import pytest
from keras import ops

from keras_perceptual.gradients import check_gradients, diagnoses, tracers

X = np.linspace(-1, 1, 8, dtype="float32").reshape(2, 4)


def variables(*names):
    return [keras.Variable(np.ones((4, 2), "float32"), name=n) for n in names]


def test_every_way_a_gradient_is_lost():
    used, cut, idle = variables("used", "cut", "idle")

    def loss():
        whole = ops.mean(ops.square(ops.matmul(X, used)))
        return whole + ops.mean(ops.round(ops.matmul(X, cut)))  # rounded

    report = check_gradients(loss, [used, cut, idle])
    assert [r.status for r in report] == ["ok", "missing", "missing"]
    assert report["used"].norm > 0
    assert report["cut"].reason == diagnoses.CUT.title
    place = report["cut"].culprit
    assert place.function == "keras.ops.round"
    assert linecache.getline(__file__, place.line).endswith("# rounded\n")
    assert report["idle"].reason == diagnoses.OUTSIDE.title
    assert "keras.ops.round" in str(report)


def test_norms_are_those_of_the_gradients():
    (weight,) = variables("weight")
    report = check_gradients(lambda: ops.sum(weight * 3.0), [weight])
    assert report["weight"].norm == pytest.approx(3 * 8**0.5, rel=1e-6)
    assert report.batches == 1


def test_zeros_and_numbers_that_are_not_finite():
    dead, broken = variables("dead", "broken")

    def loss():
        zero = ops.relu(ops.sum(dead) - 100)
        return zero + ops.sum(ops.sqrt(broken - 1))

    report = check_gradients(loss, [dead, broken])
    assert report["dead"].status == "zero"
    assert report["dead"].norm == 0
    assert report["broken"].status == "nonfinite"
    assert report["broken"].norm is None


def test_causes_of_zeros_and_of_numbers_that_are_not_finite():
    dead, broken = variables("dead", "broken")

    def loss():
        zero = ops.sum(dead * 0.0)  # by zero
        return zero + ops.sum(ops.log(broken - 1))  # of zero

    report = check_gradients(loss, [dead, broken])
    assert [r.status for r in report] == ["zero", "nonfinite"]
    assert report["dead"].reason == diagnoses.TIMES_ZERO.title
    place = report["dead"].culprit
    assert linecache.getline(__file__, place.line).endswith("# by zero\n")
    place = report["broken"].culprit
    assert place.function == "keras.ops.log"
    assert linecache.getline(__file__, place.line).endswith("# of zero\n")


def test_gradient_of_zeros_that_stands_for_none():
    """PyTorch and JAX have zeros behind a rounding."""
    (cut,) = variables("cut")
    report = check_gradients(
        lambda: ops.sum(ops.round(ops.matmul(X, cut))), [cut]
    )
    assert (report["cut"].status, report["cut"].norm) == ("missing", None)
    assert report["cut"].ratio is None


def test_verdict_stands_where_it_cannot_be_explained(monkeypatch):
    backend = tracers.load("replay")

    def fail(*args):
        raise ArithmeticError

    monkeypatch.setattr(backend, "replay_function", fail)
    used, idle = variables("used", "idle")
    report = check_gradients(lambda: ops.sum(used * 2.0), [used, idle])
    assert report["used"].status == "ok"
    # Without an explanation JAX cannot tell it from zeros.
    assert report["idle"].status in ("missing", "zero")


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_is_left_of_looking_into_it(broken):
    """Random numbers are drawn once, whether it is explained or not."""
    generator = keras.random.SeedGenerator(3)
    (weight,) = variables("weight")
    calls = []

    def loss():
        calls.append(1)
        value = ops.round(weight) if broken else weight
        drawn = keras.random.uniform((2, 2), seed=generator)
        return ops.sum(value) + ops.sum(drawn)

    check_gradients(loss, [weight])
    drawn = keras.random.uniform((2, 2), seed=generator)
    expected = keras.random.SeedGenerator(3)
    if keras.backend.backend() != "jax":  # There it has no effects at all.
        keras.random.uniform((2, 2), seed=expected)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(drawn),
        ops.convert_to_numpy(keras.random.uniform((2, 2), seed=expected)),
    )
    assert len(calls) == (1 + broken)


def test_loss_without_any_variable():
    (weight,) = variables("weight")
    report = check_gradients(
        lambda: ops.sum(ops.convert_to_tensor(X)), [weight]
    )
    (record,) = report
    assert record.status == "missing"
    assert record.reason == diagnoses.OUTSIDE.title


def test_layers_and_models():
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="hidden")], name="net"
    )
    before = [ops.convert_to_numpy(w) for w in model.weights]
    report = check_gradients(
        lambda: ops.mean(ops.square(model(X))), model.trainable_variables
    )
    # A Sequential puts its name before those of its layers.
    assert [r.path.split("/")[-1] for r in report.ok] == ["kernel", "bias"]
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), value)


@pytest.mark.parametrize(
    "arguments",
    [("model", []), (3, []), (lambda: 0.0, [], X)],
)
def test_neither_model_nor_function(arguments):
    with pytest.raises(ValueError, match=r"or a function.*Received: model="):
        check_gradients(*arguments)


def test_what_is_no_variable():
    with pytest.raises(ValueError, match=r"`keras.Variable` b.*Received: 3.0"):
        check_gradients(lambda: 0.0, [3.0])
