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
DEAD = GradientRecord("dead", "zero", 0.0, reason=diagnoses.SATURATED.title)
UNTRACKED = GradientRecord(
    "foreign", "untracked", reason=diagnoses.UNTRACKED.title
)
UNTRAINED = GradientRecord("aid", "untracked", reason=diagnoses.UNTRAINED.title)


@pytest.mark.parametrize(
    "statistics, known, expected",
    [
        (dict(calls=2, nonzero=1, norm=1.0), {}, ("ok", None)),
        (dict(calls=2), {}, ("zero", None)),
        # What was seen counts, whatever is known besides.
        (dict(calls=2), {"stranger": True}, ("zero", None)),
        (dict(calls=2, nonzero=2, nonfinite=1), {}, ("nonfinite", None)),
        (dict(calls=2, nonzero=2, overflowed=1), {}, ("ok", None)),
        (
            dict(calls=2, nonzero=2, overflowed=2),
            {},
            ("nonfinite", diagnoses.SCALE_EXHAUSTED),
        ),
        # Its square overflows.
        (
            dict(calls=2, nonzero=2, norm=1e30),
            {},
            ("nonfinite", diagnoses.DIVERGED),
        ),
        ({}, {}, ("missing", diagnoses.NOT_RUN)),
        ({}, {"connected": False}, ("missing", diagnoses.NONE)),
        (
            {},
            {"connected": False, "handed": False},
            ("missing", diagnoses.NOT_HANDED),
        ),
        (
            {},
            {"connected": False, "handed": False, "stranger": True},
            ("missing", diagnoses.STRANGER),
        ),
    ],
)
def test_status_of_a_variable(statistics, known, expected):
    known = {"handed": True, "connected": True, **known}
    statistics = GradientStatistics(**statistics)
    assert judge_variable(statistics, **known) == expected


@pytest.mark.parametrize(
    "records, fatal",
    [
        ((ZERO, OK), False),
        ((ZERO, ZERO), True),
        ((ZERO, MISSING), True),
        ((MISSING,), False),
        ((), False),
        ((ZERO, GradientRecord("a", "ignored", 0.5)), False),
        ((DEAD, OK), True),
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


def test_zeros_that_no_batch_can_end_are_raised_about():
    """And with them the others, which they may have caused."""
    assert decided([OK, DEAD]) == ([], [])
    assert decided([OK, DEAD], finished=True) == (["dead"], [])
    assert decided([OK, DEAD, ZERO], finished=True) == (["dead", "zero"], [])


def test_what_the_model_does_not_know_of_is_judged_at_once():
    assert decided([OK, UNTRACKED, UNTRAINED]) == (["foreign"], ["aid"])
    assert decided([UNTRACKED], on_missing="ignore") == ([], [])
    assert decided([UNTRACKED], on_missing="warn") == ([], ["foreign"])


def test_both_reports_know_the_batches():
    report = GradientReport((OK, MISSING, ZERO), 7)
    found = decide(report, Policy(), finished=True)
    assert [part.batches for part in found] == [7, 7]


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
