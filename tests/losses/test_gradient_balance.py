import keras
import numpy as np
import pytest
from keras import ops

from keras_perceptual.losses import gradient_balance
from keras_perceptual.losses.gradient_balance import GradientBalance


def numbers(tensors):
    return {name: float(value) for name, value in tensors.items()}


def test_the_proportions_of_the_shares_count():
    balance = GradientBalance({"a": 2, "b": 6})
    lengths = {"a": ops.array(1.0), "b": ops.array(1.0), "c": ops.array(9.0)}
    assert numbers(balance.factors()) == {"a": 1, "b": 1}
    balance.learn(lengths, balance.factors())
    assert numbers(balance.factors()) == pytest.approx({"a": 0.5, "b": 1.5})


def test_what_it_keeps_is_one_variable_that_is_not_trained():
    balance = GradientBalance({"a": 1.0, "b": 1.0})
    assert [tuple(v.shape) for v in balance.variables] == [(2,)]
    assert not balance.trainable_variables
    assert balance.variables[0].dtype == "float32"


def test_a_file_without_an_average_leaves_it_as_it_is():
    balance = GradientBalance({"a": 1.0, "b": 1.0})
    balance.variables[0].assign([0.1, 0.9])
    balance.load_own_variables({})
    assert numbers(balance.factors()) == pytest.approx(
        {"a": 5, "b": 1 / 1.8}, rel=1e-5
    )
    balance.load_own_variables({"0": np.array([0.5, 0.25])})
    assert numbers(balance.factors()) == pytest.approx({"a": 0.75, "b": 1.5})


def test_a_balance_that_one_device_has_for_all_is_refused(monkeypatch):
    balance = GradientBalance({"a": 1.0, "b": 1.0})
    monkeypatch.setattr(
        gradient_balance._backend, "is_everywhere", lambda variable: False
    )
    lengths = {"a": ops.array(1.0), "b": ops.array(1.0)}
    with pytest.raises(ValueError, match=r"inside `strategy.scope\(\)`"):
        balance.learn(lengths, balance.factors())


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)
def test_a_step_that_does_not_carry_it_along_is_told_what_to_do():
    import jax

    balance = GradientBalance({"a": 1.0, "b": 1.0})

    def step(lengths):
        balance.learn({"a": lengths[0], "b": lengths[1]}, balance.factors())
        return lengths

    with pytest.raises(ValueError, match=r"metrics=\[LossTerms\(loss\)\]"):
        jax.jit(step)(ops.ones(2))
    with keras.StatelessScope(
        state_mapping=[(balance.variables[0], ops.array([0.5, 0.5]))]
    ) as scope:
        step(ops.array([1.0, 3.0]))
        found = scope.get_current_value(balance.variables[0])
    np.testing.assert_allclose(found, [0.475, 0.525], rtol=1e-5)
    assert not ops.any(balance.variables[0].value)
