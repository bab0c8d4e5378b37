import gc
import weakref

import keras
import pytest
from gradient_models import healthy_model, regression_data

from keras_perceptual.gradients.fit_check import FitCheck
from keras_perceptual.gradients.judging import Policy


def prepared(**policy):
    model = healthy_model()
    return model, FitCheck("Checker", model, Policy(**policy))


def step(model):
    model.train_on_batch(*regression_data(8))


def test_one_armed_step_is_watched_and_no_other():
    model, check = prepared()
    plain = model.train_function
    check.arm()
    assert model.train_function is not plain
    step(model)
    assert model.train_function is plain
    check.collect()
    step(model)
    check.collect()
    assert check.report.batches == 1
    assert check.active


def test_check_ends_after_its_batches_and_lets_go_of_the_model():
    model, check = prepared(steps=2)
    for _ in range(2):
        check.arm()
        step(model)
        check.collect()
    assert not check.active
    assert check.report.batches == 2
    assert len(check.report.ok) == 4
    assert not any(part is model for part in vars(check).values())


def test_armed_step_that_another_fit_finds_is_not_watched():
    model, check = prepared()
    check.arm()
    model.fit(*regression_data(8), verbose=0)
    check.collect()
    assert check.report is None
    assert "_watched_step" not in model.train_function.__qualname__


def test_training_goes_on_with_the_train_function_it_had():
    model = healthy_model()
    step(model)
    own = model.train_function
    for _ in range(2):
        check = FitCheck("Checker", model, Policy(steps=1))
        check.arm()
        step(model)
        check.collect()
        assert not check.active
        assert model.train_function is own


def test_armed_step_that_another_check_finds_is_not_gone_on_with():
    model, check = prepared()
    check.arm()
    later = FitCheck("Checker", model, Policy())
    later.close()
    assert "_watched_step" not in model.train_function.__qualname__


def test_nothing_of_a_check_outlives_it():
    parts, loss = [], keras.losses.MeanSquaredError()

    def watched_loss(y_true, y_pred):
        if keras.backend.backend() == "tensorflow":
            parts.append(weakref.ref(y_pred.graph))
        return loss(y_true, y_pred)

    model = healthy_model()
    model.compile(loss=watched_loss)
    step(model)
    del parts[:]
    check = FitCheck("Checker", model, Policy(steps=1))
    parts += map(
        weakref.ref,
        (
            check,
            check._observed,
            check._observer,
            check._observer.recorder,
            check._explainer,
        ),
    )
    check.arm()
    step(model)
    check.collect()
    assert check.report.ok
    del check
    gc.collect()
    if keras.backend.backend() == "tensorflow":
        assert len(parts) > 5
    assert [part() for part in parts] == [None] * len(parts)


def test_failing_step_ends_the_check():
    model, check = prepared()

    def fail(*arguments):
        raise RuntimeError("no")

    check._observed = fail
    check.arm()
    with pytest.raises(RuntimeError, match="no"):
        step(model)
    assert not check.active
    assert "_watched_step" not in model.train_function.__qualname__


def test_traces_of_the_check_are_not_those_of_the_training():
    model, check = prepared()
    assert check._observed is not check._plain
    assert model.train_function is check._plain
    if keras.backend.backend() == "jax":
        check.arm()
        step(model)
        before = check._observer.read()
        step(model)
        assert check._observer.read() == before


@pytest.mark.parametrize(
    ("make", "looks"),
    [
        (lambda: keras.layers.BatchNormalization(), False),
        (lambda: keras.layers.Lambda(lambda x: x - x), True),
    ],
    ids=["normalization", "difference"],
)
def test_rounding_is_looked_into_only_where_a_whole_layer_gets_no_more(
    make, looks
):
    x, y = regression_data(32)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(4, name="before"),
            make(),
            keras.layers.Dense(y.shape[-1]),
        ]
    )
    model.compile("sgd", "mse")
    check = FitCheck("Checker", model, Policy())
    check.arm()
    model.train_on_batch(x, y)
    seen = check._observer.read()
    check.collect()
    bias = next(v for v in model.layers[0].variables if v.name == "bias")
    assert seen[id(bias)].norm < 1e-6
    assert check._diagnosing is looks
