import keras
import numpy as np
import pytest
from gradient_models import (
    PATHS,
    Unbuilt,
    constant_loss,
    cut_model,
    healthy_model,
    nan_loss,
    regression_data,
)
from keras import layers

from keras_perceptual.gradients import check_gradients, diagnoses


def state(model):
    variables = [
        *model.variables,
        *model.optimizer.variables,
        *model.metrics_variables,
    ]
    return {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in variables}


def model_with_state():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5, seed=1),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model


def test_nothing_changes():
    model = model_with_state()
    x, y = regression_data()
    model.fit(x, y, verbose=0)
    before, train_function = state(model), model.train_function
    report = check_gradients(model, x, y)
    after = state(model)
    assert len(report.ok) >= 5
    assert model.train_function is train_function
    assert sorted(before) == sorted(after)
    for path, value in before.items():
        np.testing.assert_array_equal(after[path], value, err_msg=path)


@pytest.mark.slow
def test_model_that_was_never_fitted_trains_as_if_it_had_not_been_checked():
    x, y = regression_data()
    results = []
    for check in (False, True):
        keras.utils.set_random_seed(0)
        model = model_with_state()
        if check:
            check_gradients(model, x, y)
        model.fit(x, y, epochs=2, verbose=0, shuffle=False)
        results.append(model.get_weights())
    for without, with_ in zip(*results, strict=True):
        np.testing.assert_allclose(with_, without, rtol=1e-5, atol=1e-6)


def test_missing_and_nonfinite_are_reported():
    x, y = regression_data()
    report = check_gradients(cut_model(), x, y)
    assert [r.path for r in report.missing] == [
        "cut/hidden_0/kernel",
        "cut/hidden_0/bias",
    ]
    report = check_gradients(healthy_model(loss=nan_loss), x, y)
    assert [r.path for r in report.nonfinite] == PATHS


def test_data_are_known_for_what_they_are():
    """They are arrays of NumPy here, tensors in `fit`."""
    x, y = regression_data(8)
    y[3] = np.nan
    report = check_gradients(healthy_model(), x, y)
    assert {r.reason for r in report} == {diagnoses.IN_DATA.title}
    assert "'y'" in report.records[0].note


def test_loss_that_is_connected_to_nothing_is_reported():
    report = check_gradients(
        healthy_model(loss=constant_loss), *regression_data()
    )
    assert [r.path for r in report.missing] == PATHS


def test_model_that_is_built_by_the_check():
    model = Unbuilt()
    model.compile("sgd", "mse")
    assert len(check_gradients(model, *regression_data()).ok) == 4


def test_frozen_model():
    model = healthy_model()
    model.trainable = False
    assert len(check_gradients(model, *regression_data())) == 0


def test_sample_weights():
    x, y = regression_data()
    report = check_gradients(healthy_model(), x, y, np.zeros(len(x)))
    assert len(report.zero) == 4


def test_a_function_and_its_variables():
    scale, shift = keras.Variable(2.0), keras.Variable(1.0)
    report = check_gradients(lambda: scale * 3.0, [scale, shift])
    assert [record.status for record in report] == ["ok", "missing"]
    assert report.of_function


@pytest.mark.parametrize(
    "arguments",
    [("net", []), (lambda: 0.0, [], 1.0), (lambda: 0.0, [], None, 1.0)],
    ids=["no function", "targets", "weights"],
)
def test_what_is_neither_a_model_nor_a_function_of_nothing(arguments):
    with pytest.raises(ValueError, match="a function without arguments"):
        check_gradients(*arguments)


def test_model_that_is_not_compiled():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)], name="net")
    with pytest.raises(
        ValueError, match=r"model\.compile.*Received: model='net', compiled"
    ):
        check_gradients(model, *regression_data())
