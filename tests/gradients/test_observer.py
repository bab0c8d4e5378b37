import keras
import numpy as np
import pytest
from gradient_models import healthy_model

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.observer import GradientObserver


class Refused(Exception):
    pass


def refuse(reason, variables):
    raise Refused(reason, [v.path for v in variables])


def prepared():
    model = healthy_model("sgd")
    model.optimizer.build(model.trainable_variables)
    gradients = [
        keras.ops.full(v.shape, 2.0) for v in model.trainable_variables
    ]
    return model, gradients


def apply(model, gradients):
    """Hands gradients over as the training step of the backend does."""
    optimizer, variables = model.optimizer, model.trainable_variables
    if keras.backend.backend() == "jax":
        optimizer.stateless_apply(
            [v.value for v in optimizer.variables],
            gradients,
            [v.value for v in variables],
        )
    else:
        optimizer.apply(gradients, variables)


def test_gradients_are_recorded_while_it_watches():
    model, gradients = prepared()
    observer = GradientObserver(model)
    apply(model, gradients)
    with observer.watch():
        apply(model, gradients)
        apply(model, [0 * g for g in gradients])
    apply(model, gradients)
    found = observer.read()
    for variable in model.trainable_variables:
        statistics = found[id(variable)]
        assert (statistics.calls, statistics.nonzero) == (2, 1)
        size = np.prod(variable.shape)
        np.testing.assert_allclose(statistics.norm, 2.0 * np.sqrt(size))
    assert observer.called == [model.optimizer]


def test_wrappers_are_taken_off_whatever_happens():
    model, _ = prepared()
    before = dict(vars(model.optimizer))
    with pytest.raises(KeyboardInterrupt), GradientObserver(model).watch():
        assert "apply" in vars(model.optimizer)
        raise KeyboardInterrupt
    assert vars(model.optimizer).keys() == before.keys()


def test_a_wrapper_of_someone_else_is_put_back():
    model, _ = prepared()
    theirs = model.optimizer.apply
    vars(model.optimizer)["apply"] = theirs
    with GradientObserver(model).watch():
        assert vars(model.optimizer)["apply"] is not theirs
    assert vars(model.optimizer)["apply"] is theirs


def test_nothing_is_updated_on_request():
    model, gradients = prepared()
    before = model.get_weights()
    observer = GradientObserver(model, update=False)
    with observer.watch():
        apply(model, gradients)
    assert len(observer.read()) == 4
    assert int(model.optimizer.iterations) == 0
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_call_without_any_gradient_is_announced():
    model, _ = prepared()
    variables = model.trainable_variables
    with GradientObserver(model, when_refused=refuse).watch():
        with pytest.raises(Refused) as caught:
            model.optimizer.apply([None] * 4, variables)
    reason, paths = caught.value.args
    assert (reason, len(paths)) == (diagnoses.NONE.title, 4)


def test_call_with_the_variables_of_another_model_is_announced():
    model, gradients = prepared()
    other, _ = prepared()
    with GradientObserver(model, when_refused=refuse).watch():
        with pytest.raises(Refused) as caught:
            model.optimizer.apply(gradients, other.trainable_variables)
    assert caught.value.args[0] == diagnoses.STRANGER.title


def test_missing_gradients_do_not_reach_the_optimizer():
    """It would warn about them, and pytest turn the warning into an error."""
    model, gradients = prepared()
    gradients[0] = None
    observer = GradientObserver(model)
    with observer.watch():
        model.optimizer.apply(gradients, model.trainable_variables)
    first = model.trainable_variables[0]
    assert id(first) in observer.handed
    assert id(first) not in observer.connected
    assert len(observer.connected) == 3
