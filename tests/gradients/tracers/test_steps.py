"""States of a training are copied, put back and measured."""

import keras
import numpy as np
from gradient_models import healthy_model, regression_data

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.snapshots import variables_of_training


def steps_of(model):
    tracer = tracers.load("tracer").Tracer(model)
    return tracers.load("steps").Steps(model, tracer), tracer


def values_of(model):
    read = tracers.load("variable_values").read_value
    return [read(variable) for variable in variables_of_training(model)]


def test_a_state_is_put_back():
    """With what the optimizer has made since; a copy is no view."""
    model = healthy_model("adam")
    x, y = regression_data(8)
    keras.utils.set_random_seed(0)
    if keras.backend.backend() == "jax":
        model.train_on_batch(x, y)
    steps, _ = steps_of(model)
    state = steps.copy(())
    before = values_of(model)
    model.train_on_batch(x, y)
    assert not np.array_equal(values_of(model)[0], before[0])
    once = values_of(model)
    steps.put(state, ())
    for ours, theirs in zip(before, values_of(model), strict=False):
        np.testing.assert_array_equal(ours, theirs)
    model.train_on_batch(x, y)
    for ours, theirs in zip(once, values_of(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_state_goes_through_arrays():
    model = healthy_model()
    model.train_on_batch(*regression_data(8))
    steps, _ = steps_of(model)
    arrays = [np.array(array) for array in steps.arrays(steps.copy(()))]
    model.set_weights([weight + 1 for weight in model.get_weights()])
    steps.put(steps.from_arrays(arrays), ())
    for ours, theirs in zip(arrays, steps.arrays(steps.copy(())), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # PyTorch's generator is a part of it.
    size = sum(array.nbytes for array in arrays)
    assert 0 <= steps.bytes_of(steps.copy(())) - size < 10_000


def test_what_a_step_did_is_measured():
    model = healthy_model()
    steps, _ = steps_of(model)
    before = steps.weights(())
    weights = model.get_weights()
    model.set_weights([weight + 1 for weight in weights])
    rows = steps.measure(before, ())
    expected = [
        [np.linalg.norm(weight + 1), np.sqrt(weight.size)] for weight in weights
    ]
    np.testing.assert_allclose(rows, expected, rtol=1e-5)
