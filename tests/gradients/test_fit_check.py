import functools
import gc
import warnings
import weakref

import keras
import pytest
from gradient_models import (
    cut_model,
    healthy_model,
    nan_loss,
    regression_data,
)

from keras_perceptual.gradients import (
    GradientRecord,
    GradientReport,
    GradientSanityError,
    evidence,
    judging,
    message,
)
from keras_perceptual.gradients.fit_check import FitCheck
from keras_perceptual.gradients.judging import Policy

IS_JAX = keras.backend.backend() == "jax"


@pytest.fixture
def said():
    """What the check warned about; Keras and NumPy have warnings too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lambda: [
            text
            for text in (str(warning.message) for warning in caught)
            if text.startswith("Checker: ")
        ]


def prepared(model=None, *, fresh=False, when_done=None, **policy):
    model = model or healthy_model()
    check = FitCheck(
        "Checker", model, Policy(**policy), fresh=fresh, when_done=when_done
    )
    return model, check


def step(model):
    return model.train_on_batch(*regression_data(8))


def is_armed(model):
    return "_watched_step" in getattr(model.train_function, "__qualname__", "")


def refuse(model, arguments):
    """A step that has no gradients to apply."""
    model.optimizer.build(model.trainable_variables)
    model.optimizer.apply([None] * 4, model.trainable_variables)


def watch_once(model, check):
    check.arm()
    step(model)
    check.collect()


def test_one_armed_step_is_watched_and_no_other():
    model, check = prepared()
    watch_once(model, check)
    step(model)
    check.collect()
    assert check.report.batches == 1
    assert check.active


def test_check_ends_after_its_batches_and_lets_go_of_the_model():
    reports = []
    model, check = prepared(steps=2, when_done=reports.append)
    for _ in range(2):
        assert check.active
        watch_once(model, check)
    assert not check.active
    assert check.report.batches == 2
    assert len(check.report.ok) == 4
    assert reports == [check.report]
    assert not any(part is model for part in vars(check).values())
    # What comes too late changes nothing.
    check.close()
    check.collect(last=True)
    assert reports == [check.report]


@pytest.mark.parametrize("fresh", [False, True])
def test_nothing_of_a_check_outlives_it(fresh):
    """But for the tracer of a train function that the model goes on with."""
    model = healthy_model()
    if not fresh:
        step(model)
    model, check = prepared(model, fresh=fresh, steps=1)
    parts = [
        check,
        check._seam,
        check._observer,
        check._explainer,
        check._evidence,
    ]
    if not fresh and keras.backend.backend() != "torch":
        parts += [check._seam.tracer, check._seam._observed]
    parts = list(map(weakref.ref, parts))
    watch_once(model, check)
    assert check.report.ok
    del check
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failing_step_ends_the_check(error):
    model, check = prepared()

    def fail(*arguments):
        raise error("no")

    check._seam._observed = fail
    check.arm()
    with pytest.raises(error, match="no"):
        step(model)
    assert not check.active
    assert check.report is None
    assert not is_armed(model)


def test_step_of_a_check_that_has_ended_is_taken_as_ever():
    _, check = prepared()
    watch = check._watch
    check.close()
    assert watch(lambda: 3) == 3


def test_model_of_which_everything_is_frozen():
    model = healthy_model()
    model.trainable = False
    model, check = prepared(model)
    with pytest.raises(GradientSanityError, match="no trainable variables"):
        check.arm()
    assert not check.active
    assert len(check.report) == 0


@pytest.mark.parametrize(("on_missing", "texts"), [("warn", 1), ("ignore", 0)])
def test_model_of_which_everything_is_frozen_on_purpose(
    on_missing, texts, said
):
    model = healthy_model()
    model.trainable = False
    model, check = prepared(model, on_missing=on_missing)
    check.arm()
    assert not check.active
    assert len(said()) == texts


def test_model_that_was_frozen_without_compile(said):
    """The step that trains is another one than could be looked at."""
    model = healthy_model()
    step(model)
    model.layers[0].trainable = False
    model, check = prepared(model)
    check.arm()
    assert not check.active
    assert not is_armed(model)
    (text,) = said()
    assert "compile" in text
    assert model.layers[0].kernel.path in text
    if IS_JAX:  # Keras itself cannot go on there.
        return
    former = model.get_weights()
    step(model)
    assert any(
        (one != other).any()
        for one, other in zip(former, model.get_weights(), strict=True)
    )


@pytest.mark.parametrize("on_missing", ["raise", "warn"])
def test_model_that_was_given_variables_without_compile(said, on_missing):
    model = healthy_model()
    step(model)
    model.layers[0].enable_lora(1)
    model, check = prepared(model, on_missing=on_missing)
    if on_missing == "raise":
        with pytest.raises(GradientSanityError, match="lora_kernel_a"):
            check.arm()
    else:
        check.arm()
        (text,) = said()
        assert "(2 unfrozen, 1 frozen)" in text
    assert len(check.report.missing) == 2
    assert not check.active


def test_findings_are_warned_about_once(said):
    model, check = prepared(healthy_model(loss=nan_loss), on_nonfinite="warn")
    for _ in range(3):
        watch_once(model, check)
    assert len(said()) == 1
    assert len(check.report.nonfinite) == 4


def test_warnings_point_at_the_line_that_collects():
    """In a callback, this is its method that Keras calls."""
    model, check = prepared(healthy_model(loss=nan_loss), on_nonfinite="warn")
    check.arm()
    step(model)
    with pytest.warns(UserWarning, match="^Checker: ") as caught:
        check.collect()
    (ours,) = (w for w in caught if str(w.message).startswith("Checker: "))
    assert ours.filename == __file__
    check._explainer.trouble = ArithmeticError("no")
    with pytest.warns(UserWarning, match="ArithmeticError") as caught:
        check.collect(last=True)
    assert caught[0].filename == __file__


def test_other_findings_are_warned_about_as_they_come(said):
    model, check = prepared(steps=9, on_missing="warn", ignore=("x", "*bias"))
    watch_once(model, check)
    # A pattern that fits nothing.
    assert len(said()) == 1
    watch_once(model, check)
    assert len(said()) == 1


@pytest.mark.skipif(IS_JAX, reason="gradients are never missing there")
def test_step_that_an_optimizer_would_refuse():
    """The error is not one of Keras, whatever a trace makes of it."""
    model, check = prepared()
    check.arm()
    check._seam._take_step = functools.partial(refuse, model)
    with pytest.raises(GradientSanityError, match="4 of 4") as caught:
        step(model)
    assert caught.value.__cause__ is None
    assert caught.value.report is check.report
    assert len(check.report.missing) == 4
    assert not check.active


@pytest.mark.skipif(IS_JAX, reason="gradients are never missing there")
def test_step_that_an_optimizer_refuses_where_nothing_is_to_be_raised():
    model, check = prepared(on_missing="warn")
    check.arm()
    check._seam._take_step = functools.partial(refuse, model)
    with pytest.raises(ValueError, match="No gradients provided"):
        step(model)
    assert not check.active


@pytest.mark.skipif(IS_JAX, reason="gradients are never missing there")
def test_step_that_was_stopped_and_cannot_be_explained(monkeypatch):
    """It would have failed by itself: the error says what is known."""

    def fail(*args):
        raise ArithmeticError("out of order")

    model, check = prepared()
    check.arm()
    check._seam._take_step = functools.partial(refuse, model)
    monkeypatch.setattr(check._evidence, "refused", fail)
    with pytest.raises(GradientSanityError, match="ArithmeticError: out of"):
        step(model)


@pytest.mark.parametrize("where", ["gather", "judge", "decide", "describe"])
def test_trouble_in_judging_is_said_once_and_ends_the_check(
    where, monkeypatch, said
):
    def fail(*args, **kwargs):
        raise ArithmeticError("out of order")

    owner = {"decide": judging, "describe": message}.get(
        where, evidence.Evidence
    )
    monkeypatch.setattr(owner, where, fail)
    model, check = prepared(cut_model())
    watch_once(model, check)
    assert not check.active
    step(model)
    (text,) = said()
    assert text.startswith("Checker: the gradient check could not look into")
    assert text.endswith("Received: ArithmeticError: out of order")


def test_trouble_in_taking_note_is_said_once_and_ends_the_check(said):
    model, check = prepared()
    check._observer.trouble = ArithmeticError("out of order")
    watch_once(model, check)
    assert not check.active
    assert len(said()) == 1


def test_model_that_cannot_be_watched(said):
    model = healthy_model()

    def fail(**kwargs):
        raise ArithmeticError

    step(model)
    own = model.train_function
    model.make_train_function = fail
    model, check = prepared(model)
    assert not check.active
    assert len(said()) == 1
    assert model.train_function is own


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda: keras.layers.BatchNormalization(), "ok"),
        (lambda: keras.layers.Lambda(lambda x: x - x), "zero"),
    ],
    ids=["normalization", "difference"],
)
def test_rounding_is_looked_into_only_where_a_whole_layer_gets_no_more(
    make, status, said
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
    model, check = prepared(model, steps=1, on_zero="ignore")
    check.arm()
    model.train_on_batch(x, y)
    check.collect()
    assert not said()
    before = check.report.records[:2]
    assert before[1].norm < 1e-6
    assert [record.status for record in before] == [status, status]
    assert {record.reason == "" for record in before} == {status == "ok"}


def records(*statuses):
    return GradientReport(
        tuple(GradientRecord(f"net/{s}", s) for s in statuses), batches=2
    )


@pytest.mark.parametrize("on_missing", ["raise", "warn"])
def test_model_that_trains_nothing_while_it_is_watched(on_missing, monkeypatch):
    _, check = prepared(on_missing=on_missing)
    check.report = records()
    monkeypatch.setattr(check._evidence, "variables", list)
    error, texts = check._decide(True)
    (text,) = [str(error)] if on_missing == "raise" else texts
    assert "no trainable variables" in text
    # It is said once.
    check._decide(True)
    assert check._decide(True)[1] == []


def test_what_cannot_be_explained_is_admitted_once(said):
    _, check = prepared()
    check._admit_trouble()
    assert said() == []
    check._explainer.trouble = ArithmeticError("no")
    for _ in range(2):
        check._admit_trouble()
    (text,) = said()
    assert text.endswith("Received: ArithmeticError: no")


def test_zeros_that_are_not_judged_yet_are_mentioned():
    _, check = prepared()
    check.report = records("missing", "zero", "ok")
    offenders = GradientReport(check.report.missing, 2)
    error = check._make_error(offenders)
    assert "1 more variable has received nothing but zeros" in str(error)
    assert "['net/zero']" in str(error)
    assert error.report is check.report
    # Unless they are what is raised about.
    error = check._make_error(GradientReport(check.report.zero, 2))
    assert "more variable" not in str(error)
    assert check._make_error(GradientReport()) is None


def test_patterns_are_compared_with_all_paths():
    _, check = prepared(ignore=("net/mising",))
    check.report = records("missing", "ok")
    (text,) = check._texts(GradientReport())
    assert "The paths are ['net/missing', 'net/ok']" in text


def test_zeros_that_may_pass_are_told_apart():
    _, check = prepared()
    check.report = records("missing", "zero")
    texts = check._texts(check.report)
    assert [("`on_zero=" in text) for text in texts] == [False, True]
    # Each variable is told of once for each status.
    assert check._texts(check.report) == []
    _, check = prepared(on_zero="warn")
    (text,) = check._texts(records("missing", "zero"))
    assert "Received: missing=['net/missing'], zero=['net/zero']" in text


def test_a_check_that_is_closed_watches_no_more():
    model, check = prepared()
    step(model)
    check.arm()
    assert is_armed(model)
    check.close()
    assert not is_armed(model)
    step(model)
    assert check.report is None
