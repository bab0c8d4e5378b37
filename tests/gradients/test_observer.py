import keras
import numpy as np
import pytest
from gradient_models import healthy_model

from keras_perceptual.gradients import diagnoses, tracers
from keras_perceptual.gradients.observer import (
    GradientObserver,
    StopStep,
    _loss_scale,
)


class Refused(StopStep):
    pass


def refuse(diagnosis, variables):
    raise Refused(diagnosis, [v.path for v in variables])


class Noting:
    """A tracer that keeps what it is given."""

    apply_methods = tracers.load("tracer").Tracer.apply_methods

    def __init__(self):
        self.calls = []

    def add(self, variables, values, gradients, loss_scale, is_dynamic):
        gradients = [keras.ops.convert_to_numpy(g) for g in gradients]
        self.calls.append((variables, gradients, loss_scale, is_dynamic))


def prepared(optimizer="sgd"):
    model = healthy_model(optimizer)
    model.optimizer.build(model.trainable_variables)
    gradients = [
        keras.ops.full(v.shape, 2.0) for v in model.trainable_variables
    ]
    return model, gradients


def observe(model, **arguments):
    return GradientObserver(model, Noting(), **arguments)


def apply(model, gradients):
    """Hands gradients over as the training step of the backend does."""
    optimizer, variables = model.optimizer, model.trainable_variables
    if keras.backend.backend() == "jax":
        return optimizer.stateless_apply(
            [v.value for v in optimizer.variables],
            gradients,
            [v.value for v in variables],
        )
    return optimizer.apply(gradients, variables)


def test_gradients_are_noted_while_it_watches():
    model, gradients = prepared()
    observer = observe(model)
    apply(model, gradients)
    with observer.watch():
        apply(model, gradients)
        apply(model, [0 * g for g in gradients])
    apply(model, gradients)
    first, second = observer._tracer.calls
    for variables, noted, *_ in (first, second):
        assert [id(v) for v in variables] == list(
            map(id, model.trainable_variables)
        )
        assert [g.shape for g in noted] == [tuple(v.shape) for v in variables]
    assert {float(g.max()) for g in first[1]} == {2.0}
    assert {float(g.max()) for g in second[1]} == {0.0}
    assert observer.called == [model.optimizer]
    assert observer.trouble is None
    [frames] = {id(f): f for f in observer.frames.values()}.values()
    assert [frame.name for frame in frames].count("apply") >= 1


def test_wrappers_are_taken_off_whatever_happens():
    model, _ = prepared()
    before = dict(vars(model.optimizer))
    with pytest.raises(KeyboardInterrupt), observe(model).watch():
        assert "apply" in vars(model.optimizer)
        raise KeyboardInterrupt
    assert vars(model.optimizer).keys() == before.keys()


def test_a_wrapper_of_someone_else_is_put_back():
    model, _ = prepared()
    theirs = model.optimizer.apply
    vars(model.optimizer)["apply"] = theirs
    with observe(model).watch():
        assert vars(model.optimizer)["apply"] is not theirs
    assert vars(model.optimizer)["apply"] is theirs


def test_nothing_is_updated_on_request():
    model, gradients = prepared()
    before = model.get_weights()
    observer = observe(model, update=False)
    with observer.watch():
        apply(model, gradients)
    assert len(observer.connected) == 4
    assert int(model.optimizer.iterations) == 0
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="its gradients are never `None`"
)
def test_call_without_any_gradient_is_announced():
    model, _ = prepared()
    with observe(model, when_refused=refuse).watch():
        with pytest.raises(Refused) as caught:
            apply(model, [None] * 4)
    assert caught.value.args == (
        diagnoses.NONE,
        [v.path for v in model.trainable_variables],
    )


def test_call_with_the_variables_of_another_model_is_announced():
    model, gradients = prepared()
    other, _ = prepared()
    with observe(model, when_refused=refuse).watch():
        with pytest.raises(Refused) as caught:
            model.optimizer.apply(gradients, other.trainable_variables)
    assert caught.value.args == (
        diagnoses.STRANGER,
        [v.path for v in other.trainable_variables],
    )


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about values without names"
)
def test_call_with_fewer_variables_than_it_was_built_for_is_announced():
    model, gradients = prepared()
    with observe(model, when_refused=refuse).watch():
        with pytest.raises(Refused) as caught:
            model.optimizer.stateless_apply(
                [], gradients[:2], [v.value for v in model.weights[:2]]
            )
    assert caught.value.args[0] is diagnoses.STRANGER


@pytest.mark.parametrize("update", [True, False])
def test_values_that_are_handed_in_and_out(update, monkeypatch):
    """As JAX has it; what is done with them is of no matter here."""
    model, gradients = prepared("sgd")
    monkeypatch.setattr(
        model.optimizer,
        "stateless_apply",
        lambda state, gradients, values: ([v - 1.0 for v in values], state),
    )
    observer = observe(model, update=update)
    observer._tracer.apply_methods = ("stateless_apply",)
    values = [v.value for v in model.trainable_variables]
    state = [v.value for v in model.optimizer.variables]
    with observer.watch():
        found, left = model.optimizer.stateless_apply(state, gradients, values)
    ((variables, noted, *_),) = observer._tracer.calls
    assert list(map(id, variables)) == list(map(id, model.trainable_variables))
    assert {float(g.max()) for g in noted} == {2.0}
    assert left is state
    for old, new in zip(values, found, strict=True):
        change = keras.ops.convert_to_numpy(new - old)
        np.testing.assert_allclose(change, -1.0 if update else 0.0, atol=1e-6)


def test_other_values_than_it_was_built_for_are_announced():
    model, gradients = prepared()
    said = []
    observer = observe(
        model, update=False, when_refused=lambda *given: said.append(given)
    )
    observer._tracer.apply_methods = ("stateless_apply",)
    with observer.watch():
        model.optimizer.stateless_apply(
            [], gradients[:2], [v.value for v in model.weights[:2]]
        )
    ((diagnosis, variables),) = said
    assert diagnosis is diagnoses.STRANGER
    assert len(variables) == 4
    assert observer._tracer.calls == []


def test_scale_of_an_optimizer_that_is_not_built():
    inner = keras.optimizers.SGD()
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0)
    assert _loss_scale(optimizer) == (8.0, True)
    optimizer.build([keras.Variable(1.0)])
    scale, is_dynamic = _loss_scale(optimizer)
    assert is_dynamic and float(keras.ops.convert_to_numpy(scale)) == 8
    # In a step without state, it is one of the values that come in.
    values = {id(optimizer.dynamic_scale): 2.0}
    assert _loss_scale(optimizer, values) == (2.0, True)


def test_missing_gradients_do_not_reach_the_optimizer():
    """It would warn about them, and pytest turn the warning into an error."""
    model, gradients = prepared()
    gradients[0] = None
    observer = observe(model)
    with observer.watch():
        model.optimizer.apply(gradients, model.trainable_variables)
    first = model.trainable_variables[0]
    assert id(first) in observer.handed
    assert id(first) not in observer.connected
    assert len(observer.connected) == 3
    ((variables, *_),) = observer._tracer.calls
    assert len(variables) == 3


def test_what_goes_wrong_in_taking_note_does_not_reach_the_step():
    """The first trouble is kept, and the gradients are applied."""
    model, gradients = prepared()
    before = model.get_weights()[0]
    observer = observe(model)
    texts = iter(["first", "later"])

    def fail(*arguments):
        raise ArithmeticError(next(texts))

    observer._tracer.add = fail
    with observer.watch():
        for _ in range(2):
            model.optimizer.apply(gradients, model.trainable_variables)
    assert repr(observer.trouble) == "ArithmeticError('first')"
    assert np.any(model.get_weights()[0] != before)


def test_optimizer_around_another_one_is_one_call():
    inner = keras.optimizers.SGD()
    model, gradients = prepared(keras.optimizers.LossScaleOptimizer(inner))
    observer = observe(model)
    with observer.watch():
        apply(model, gradients)
    assert observer.called == [model.optimizer]
    ((_, _, scale, is_dynamic),) = observer._tracer.calls
    assert float(keras.ops.convert_to_numpy(scale)) == 2.0**15
    assert is_dynamic


@pytest.mark.parametrize("factor", [None, 4.0])
def test_loss_scale_that_stays(factor):
    model, gradients = prepared(keras.optimizers.SGD(loss_scale_factor=factor))
    observer = observe(model)
    with observer.watch():
        apply(model, gradients)
    ((_, _, scale, is_dynamic),) = observer._tracer.calls
    assert (scale, is_dynamic) == (factor, False)


@pytest.mark.parametrize("built", [False, True])
def test_optimizer_is_built_for_all_variables_also_those_without(built):
    """Before it is handed the others alone, and would not know of them."""
    model = healthy_model("sgd")
    if built:
        model.optimizer.build(model.trainable_variables)
    gradients = [keras.ops.ones(v.shape) for v in model.trainable_variables]
    gradients[1] = None
    with observe(model).watch():
        model.optimizer.apply(gradients, model.trainable_variables)
    known = model.optimizer._trainable_variables
    assert list(map(id, known)) == list(map(id, model.trainable_variables))
