import pytest

from keras_perceptual.gradients import (
    GradientRecord,
    GradientReport,
    diagnoses,
)
from keras_perceptual.gradients.judging import (
    Policy,
    decide,
    judge_variable,
    zeros_are_fatal,
)
from keras_perceptual.gradients.statistics import GradientStatistics

OK = GradientRecord("ok", "ok", 1.0)
ZERO = GradientRecord("zero", "zero", 0.0)
MISSING = GradientRecord("missing", "missing", reason=diagnoses.NONE.title)
NOT_HANDED = GradientRecord("not", "missing", reason=diagnoses.NOT_HANDED.title)
NOT_RUN = GradientRecord("wait", "missing", reason=diagnoses.NOT_RUN.title)
NONFINITE = GradientRecord("nan", "nonfinite")


@pytest.mark.parametrize(
    "statistics, known, expected",
    [
        (dict(calls=2, nonzero=1, norm=1.0), {}, ("ok", "")),
        (dict(calls=2), {}, ("zero", "")),
        (
            dict(calls=2),
            {"disconnected": True},
            ("missing", diagnoses.NONE.title),
        ),
        (dict(calls=2, nonzero=1), {"disconnected": True}, ("ok", "")),
        (dict(calls=2, nonzero=2, nonfinite=1), {}, ("nonfinite", "")),
        (dict(calls=2, nonzero=2, overflowed=1), {}, ("ok", "")),
        (dict(calls=2, nonzero=2, overflowed=2), {}, ("nonfinite", "")),
        (None, {}, ("missing", diagnoses.NOT_RUN.title)),
        (None, {"connected": False}, ("missing", diagnoses.NONE.title)),
        (
            None,
            {"connected": False, "handed": False},
            ("missing", diagnoses.NOT_HANDED.title),
        ),
        (
            None,
            {"connected": False, "handed": False, "stranger": True},
            ("missing", diagnoses.STRANGER.title),
        ),
    ],
)
def test_status_of_a_variable(statistics, known, expected):
    known = {"handed": True, "connected": True, **known}
    if statistics is not None:
        statistics = GradientStatistics(**statistics)
    assert judge_variable(statistics, **known) == expected


@pytest.mark.parametrize(
    "records, fatal",
    [
        ((ZERO, OK), False),
        ((ZERO, ZERO), True),
        ((ZERO, MISSING), True),
        ((MISSING,), False),
        ((ZERO, GradientRecord("a", "ignored", 0.5)), False),
    ],
)
def test_zeros_are_fatal_where_nothing_learns(records, fatal):
    assert zeros_are_fatal(GradientReport(records, 3)) is fatal


def decided(records, finished=False, unexplained=(), **policy):
    outcome = decide(
        GradientReport(tuple(records), 3),
        Policy(**policy),
        finished=finished,
        unexplained=unexplained,
    )
    return tuple([r.path for r in report] for report in outcome)


def test_missing_is_judged_at_once():
    assert decided([OK, MISSING, ZERO]) == (["missing"], [])


def test_what_may_take_its_turn_later_is_judged_at_the_end():
    assert decided([OK, NOT_HANDED]) == ([], [])
    assert decided([OK, NOT_HANDED], finished=True) == (["not"], [])
    assert decided([OK, NOT_RUN], finished=True) == ([], ["wait"])


def test_zero_is_judged_at_the_end():
    assert decided([ZERO]) == ([], [])
    assert decided([ZERO], finished=True) == (["zero"], [])
    assert decided([OK, ZERO], finished=True) == ([], ["zero"])


def test_nonfinite_is_judged_unless_loss_scaling_explains_it():
    assert decided([NONFINITE], unexplained=("nan",)) == (["nan"], [])
    assert decided([NONFINITE]) == ([], [])
    assert decided([NONFINITE], finished=True) == ([], ["nan"])


@pytest.mark.parametrize(
    "kind, record",
    [("on_missing", MISSING), ("on_zero", ZERO), ("on_nonfinite", NONFINITE)],
)
@pytest.mark.parametrize("action", ["raise", "warn", "ignore"])
def test_policies(kind, record, action):
    raised, warned = decided(
        [OK, record],
        finished=True,
        unexplained=("nan",),
        **{kind: action},
    )
    assert raised == ([record.path] if action == "raise" else [])
    assert warned == ([record.path] if action == "warn" else [])


def test_patterns():
    policy = Policy(ignore=("*/bias", "head/[ab]"))
    assert policy.ignores("net/key/bias")
    assert policy.ignores("head/a")
    assert not policy.ignores("head/c")
    assert not policy.ignores("net/key/Bias")
    assert policy.unmatched(["head/b", "x"]) == ["*/bias"]
