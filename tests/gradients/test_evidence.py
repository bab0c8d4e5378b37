"""What is made of the numbers of some steps, told by hand."""

import types

import keras
import numpy as np
import pytest
from keras import layers

from keras_perceptual.gradients import diagnoses, tracers
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.evidence import Evidence
from keras_perceptual.gradients.judging import Policy
from keras_perceptual.gradients.places import Place
from keras_perceptual.gradients.replay import Moment

OK = [1, 1, 0, 0, 0.5, 0.5]
ZERO = [1, 0, 0, 0, 0, 0]
NONFINITE = [1, 1, 1, 0, 0, 0]
OVERFLOWED = [1, 1, 0, 1, 0, 0]
PENALIZED = [1, 1, 0, 0, 0.5, 0]
FAINT = [1, 1, 0, 0, 1e-8, 1e-8]
HERE = Place("Round", file="train.py", line=3)


class Explainer:
    """Says what it is told to, and keeps what it is asked."""

    def __init__(self):
        self.asked, self.answers, self.untracked = [], {}, []
        self.forgotten = 0

    def forget(self):
        self.forgotten += 1

    def find_untracked(self):
        return self.untracked

    def _answer(self, question, variables):
        self.asked.append((question, [v.path for v in variables]))
        return {
            id(v): self.answers[question]
            for v in variables
            if question in self.answers
        }

    def missing(self, variables):
        return self._answer("missing", variables)

    def not_run(self, variables):
        return self._answer("not_run", variables)

    def zeros(self, variables):
        return self._answer("zeros", variables)

    def nonfinite(self, variables):
        return self._answer("nonfinite", variables)

    def diverged(self, variables):
        return self._answer("diverged", variables)

    def strangers(self, variables):
        return self._answer("strangers", variables)

    def penalized(self, variables):
        return self._answer("penalized", variables)

    def frozen(self, variables):
        return self._answer("frozen", variables)


class Case:
    """The evidence of a small model, and all it is made of."""

    def __init__(self, *frozen, zeros_for_none=False, **policy):
        self.model = keras.Sequential(
            [
                keras.Input((4,)),
                *frozen,
                layers.Dense(2, name="first", kernel_initializer="ones"),
                layers.Dense(1, name="second"),
            ],
            name="net",
        )
        self.model.compile("sgd", "mse")
        self.rows = {}
        self.tracer = types.SimpleNamespace(
            read=lambda: self.rows, zeros_for_none=zeros_for_none
        )
        self.seam = types.SimpleNamespace(tracer=self.tracer, moment=Moment())
        self.observer = types.SimpleNamespace(
            handed={}, connected=set(), called=[]
        )
        self.explainer = Explainer()
        self.evidence = Evidence(
            self.model,
            self.seam,
            self.observer,
            self.explainer,
            Policy(**policy),
        )

    def gather(self, *rows, steps=1):
        """Gives the variables their rows, `None` for none."""
        for variable, row in zip(self.model.weights, rows, strict=True):
            if row is not None:
                self.rows[id(variable)] = np.array(row, float)
                self.observer.handed[id(variable)] = variable
                self.observer.connected.add(id(variable))
        self.evidence.gather(steps)

    def judge(self, *rows, finished=True):
        self.gather(*rows)
        return self.evidence.judge(finished=finished)


def statuses(report):
    return [record.status for record in report]


def test_records():
    case = Case()
    report = case.judge(OK, ZERO, NONFINITE, OVERFLOWED)
    assert statuses(report) == ["ok", "zero", "nonfinite", "nonfinite"]
    assert [r.path for r in report] == [v.path for v in case.model.weights]
    assert [r.norm for r in report] == [0.5, 0.0, None, None]
    first = report.records[0]
    assert (first.shape, first.layer, first.layer_class) == (
        (4, 2),
        "first",
        "Dense",
    )
    # Of eight ones.
    assert first.ratio == pytest.approx(0.5 / 8**0.5)
    # A bias has no weight.
    assert report.records[1].ratio is None
    assert report.records[2].ratio is None
    assert report.batches == 1
    assert case.explainer.forgotten == 1


def test_norms_are_compared_with_the_weights_as_they_were_first():
    case = Case()
    first = case.judge(OK, OK, OK, OK).records[0].ratio
    case.model.weights[0].assign(np.full((4, 2), 3.0))
    assert case.judge(OK, OK, OK, OK).records[0].ratio == first


def test_skipped_steps_are_no_batches():
    """How often a step was skipped is counted from the beginning."""
    case = Case()
    case.gather(OVERFLOWED, OK, OK, OK)
    assert case.evidence.batches == 0
    case.gather([3, 3, 0, 2, 1, 1], OK, OK, OK, steps=2)
    assert case.evidence.batches == 1
    case.gather([5, 5, 0, 2, 1, 1], OK, OK, OK, steps=2)
    assert case.evidence.batches == 3


def test_report_of_skipped_steps_alone_speaks_of_a_batch():
    report = Case().judge(*[OVERFLOWED] * 4)
    assert report.batches == 1


def test_what_loss_scaling_explains():
    case = Case()
    case.gather(OVERFLOWED, OK, NONFINITE, OK)
    assert case.evidence.unexplained() == {case.model.weights[2].path}


def test_what_is_frozen_by_the_way_is_judged_too():
    case = Case()
    case.model.layers[0].trainable = False
    assert len(case.evidence.variables()) == 4
    assert len(case.judge(OK, OK, OK, OK)) == 4


def test_missing_is_looked_into_at_once():
    case = Case()
    case.observer.handed = {id(v): v for v in case.model.weights[:2]}
    case.explainer.answers["missing"] = Cause(diagnoses.CUT, (HERE,), "So.")
    report = case.judge(None, OK, OK, OK, finished=False)
    assert case.explainer.asked == [("missing", [case.model.weights[0].path])]
    record = report.records[0]
    assert (record.status, record.reason) == ("missing", diagnoses.CUT.title)
    assert (record.culprits, record.note) == ((HERE,), "So.")


def test_every_variable_is_looked_into_once():
    case = Case()
    case.explainer.answers["missing"] = Cause(diagnoses.CUT)
    case.observer.handed = {id(v): v for v in case.model.weights}
    for finished in (False, True):
        case.judge(None, OK, OK, OK, finished=finished)
    assert len(case.explainer.asked) == 1


def test_what_may_take_its_turn_is_looked_into_at_the_end():
    """Nobody was given it so far."""
    case = Case()
    report = case.judge(None, OK, OK, OK, finished=False)
    assert case.explainer.asked == []
    assert report.records[0].reason == diagnoses.NOT_HANDED.title
    case.judge(None, OK, OK, OK)
    assert case.explainer.asked == [("missing", [case.model.weights[0].path])]


def test_zeros_are_looked_into_at_the_end():
    case = Case()
    case.explainer.answers["zeros"] = Cause(diagnoses.SATURATED)
    case.judge(ZERO, OK, OK, OK, finished=False)
    assert case.explainer.asked == []
    report = case.judge(ZERO, OK, OK, OK)
    assert case.explainer.asked == [("zeros", [case.model.weights[0].path])]
    assert report.records[0].reason == diagnoses.SATURATED.title


class TestZerosThatStandForNone:
    def judge(self, cause, finished=False):
        case = Case(zeros_for_none=True)
        case.explainer.answers["missing"] = cause
        report = case.judge(ZERO, OK, OK, OK, finished=finished)
        return case, report.records[0]

    def test_they_are_looked_into_at_once(self):
        case, record = self.judge(Cause(diagnoses.CUT))
        assert (record.status, record.reason) == (
            "missing",
            diagnoses.CUT.title,
        )
        case.judge(ZERO, OK, OK, OK, finished=False)
        assert len(case.explainer.asked) == 1

    @pytest.mark.parametrize(
        "diagnosis", [diagnoses.NOT_ASKED, diagnoses.NOT_APPLIED]
    )
    def test_where_there_are_gradients_zeros_are_zeros(self, diagnosis):
        case, record = self.judge(Cause(diagnosis))
        assert (record.status, record.reason) == ("zero", "")
        case.judge(ZERO, OK, OK, OK)
        # Not into the same again.
        assert [question for question, _ in case.explainer.asked] == [
            "missing",
            "zeros",
        ]

    def test_elsewhere_zeros_are_zeros(self):
        case = Case(zeros_for_none=False)
        case.explainer.answers["missing"] = Cause(diagnoses.CUT)
        report = case.judge(ZERO, OK, OK, OK, finished=False)
        assert report.records[0].status == "zero"


def test_what_a_penalty_alone_moves():
    case = Case()
    case.explainer.answers["penalized"] = Cause(diagnoses.PENALTY)
    report = case.judge(PENALIZED, OK, OK, OK, finished=False)
    path = case.model.weights[0].path
    assert case.explainer.asked == [("penalized", [path])]
    assert report.records[0].status == "missing"


def test_what_a_penalty_alone_may_move_is_looked_into_again_at_the_end():
    case = Case()
    for finished in (False, False, True):
        case.judge(PENALIZED, OK, OK, OK, finished=finished)
    assert [question for question, _ in case.explainer.asked] == [
        "penalized",
        "penalized",
    ]


def test_what_is_not_finite_is_looked_into_at_once():
    """What loss scaling explains is not."""
    case = Case()
    cause = Cause(diagnoses.MADE_FORWARD, (HERE,))
    case.explainer.answers["nonfinite"] = cause
    report = case.judge(NONFINITE, OVERFLOWED, OK, OK, finished=False)
    path = case.model.weights[0].path
    assert case.explainer.asked == [("nonfinite", [path])]
    assert report.records[0].culprits == (HERE,)
    assert statuses(report)[:2] == ["nonfinite", "nonfinite"]


class TestFaint:
    def test_a_bias_beside_a_kernel_that_learns_is_well(self):
        case = Case()
        case.judge(OK, FAINT, OK, OK)
        assert case.explainer.asked == []

    def test_a_kernel_beside_a_bias_that_learns_is_not(self):
        case = Case()
        case.judge(FAINT, OK, OK, OK)
        path = case.model.weights[0].path
        assert case.explainer.asked == [("zeros", [path])]

    def test_it_is_measured_by_the_largest_as_well(self):
        large, small = [1, 1, 0, 0, 9.0, 9.0], [1, 1, 0, 0, 8e-5, 8e-5]
        case = Case()
        case.judge(small, small, OK, OK)
        assert case.explainer.asked == []
        case = Case()
        case.judge(small, small, large, large)
        assert len(case.explainer.asked) == 1

    @pytest.mark.parametrize(
        ("diagnosis", "status"),
        [
            (diagnoses.CANCELS, "zero"),
            (diagnoses.SOFTMAX_OF_ONE, "zero"),
            (diagnoses.SATURATED, "ok"),
        ],
    )
    def test_a_layer_of_which_nothing_learns(self, diagnosis, status):
        case = Case()
        case.explainer.answers["zeros"] = Cause(diagnosis)
        report = case.judge(FAINT, FAINT, OK, OK, finished=False)
        assert case.explainer.asked == []
        report = case.judge(FAINT, FAINT, OK, OK)
        paths = [v.path for v in case.model.weights[:2]]
        assert case.explainer.asked == [("zeros", paths)]
        assert statuses(report) == [status, status, "ok", "ok"]

    def test_what_is_not_finite_is_not_faint_as_well(self):
        case = Case()
        case.judge([2, 1, 1, 0, 1e-12, 1e-12], FAINT, OK, OK)
        asked = {question for question, _ in case.explainer.asked}
        paths = {
            p for q, ps in case.explainer.asked if q == "zeros" for p in ps
        }
        assert "nonfinite" in asked
        assert case.model.weights[0].path not in paths

    def test_it_is_measured_by_the_weights(self):
        case = Case()
        case.model.weights[0].assign(np.full((4, 2), 1e6))
        case.judge([1, 1, 0, 0, 1.0, 1.0], FAINT, OK, OK)
        assert len(case.explainer.asked) == 1


def own_optimizers(model, number):
    """Returns optimizers that train the second layer of a model."""
    optimizers = [keras.optimizers.SGD() for _ in range(number)]
    for optimizer in optimizers:
        optimizer.build(model.weights[2:])
    return optimizers


class TestWhatNobodyHands:
    def test_what_changes_all_the_same_is_well(self):
        """A step may train without an optimizer of Keras."""
        case = Case()
        first = case.model.weights[0]
        former = keras.ops.convert_to_numpy(first.value).copy()
        case.seam.moment = Moment(values={id(first): former})
        report = case.judge(None, OK, OK, OK, finished=False)
        assert report.records[0].status == "missing"
        first.assign(former + 1)
        report = case.judge(None, OK, OK, OK)
        assert (report.records[0].status, report.records[0].norm) == (
            "ok",
            None,
        )

    def test_what_the_step_has_changed_before_it_is_first_looked_at(self):
        case = Case()
        first = case.model.weights[0]
        case.seam.moment = Moment(values={id(first): np.zeros((4, 2))})
        assert case.judge(None, OK, OK, OK).records[0].status == "ok"

    def test_what_is_not_a_number_has_not_changed(self):
        case = Case()
        first = case.model.weights[0]
        first.assign(np.full((4, 2), np.nan))
        for _ in range(2):
            report = case.judge(None, OK, OK, OK)
        assert report.records[0].status == "missing"

    def test_what_the_step_has_frozen(self):
        case = Case()
        case.model.layers[0].trainable = False
        report = case.judge(None, OK, OK, OK)
        record = report[case.model.weights[0].path]
        assert record.reason == diagnoses.FROZEN_IN_STEP.title
        assert not record.culprits
        case.explainer.answers["frozen"] = Cause(
            diagnoses.FROZEN_IN_STEP, (HERE,)
        )
        report = case.judge(None, OK, OK, OK)
        assert report[case.model.weights[0].path].culprit == HERE
        assert case.explainer.asked[-1] == ("frozen", [record.path])

    def test_another_batch_may_take_another_branch_under_a_penalty(self):
        case = Case()
        case.explainer.answers["penalized"] = Cause(diagnoses.CUT_IN_BRANCH)
        report = case.judge(PENALIZED, OK, OK, OK, finished=False)
        assert statuses(report) == ["ok"] * 4
        report = case.judge(PENALIZED, OK, OK, OK)
        assert statuses(report) == ["zero", "ok", "ok", "ok"]

    @pytest.mark.parametrize("both", [False, True])
    def test_what_waits_for_the_turn_of_its_optimizer(self, both):
        case = Case()
        case.model.others = own_optimizers(case.model, 2)
        case.observer.called = case.model.others[: 1 + both]
        report = case.judge(None, OK, OK, OK, finished=False)
        expected = diagnoses.NOT_HANDED if both else diagnoses.NOT_RUN
        assert report.records[0].reason == expected.title

    def test_line_of_what_waits_for_its_optimizer(self):
        case = Case()
        case.model.others = own_optimizers(case.model, 2)
        case.observer.called = case.model.others[:1]
        place = Place("gradient", file="train.py", line=3)
        case.explainer.answers["not_run"] = Cause(diagnoses.NOT_RUN, (place,))
        # Its turn may come.
        report = case.judge(None, OK, OK, OK, finished=False)
        assert report.records[0].culprits == ()
        report = case.judge(None, OK, OK, OK)
        assert report.records[0].culprits == (place,)

    def test_the_optimizer_of_compile_need_not_have_a_turn(self):
        case = Case()
        case.model.others = own_optimizers(case.model, 1)
        case.observer.called = case.model.others
        report = case.judge(None, OK, OK, OK, finished=False)
        assert report.records[0].reason == diagnoses.NOT_HANDED.title

    def test_optimizer_of_other_variables(self):
        case = Case()
        optimizer = keras.optimizers.SGD()
        optimizer.build([keras.Variable(1.0)])
        case.observer.called = [optimizer]
        report = case.judge(None, None, None, None)
        assert {r.reason for r in report} == {diagnoses.STRANGER.title}

    def test_optimizer_of_what_is_frozen_for_a_while(self):
        """A GAN freezes the discriminator while the generator learns."""
        frozen = keras.layers.Dense(2, trainable=False)
        case = Case(frozen)
        optimizer = keras.optimizers.SGD()
        optimizer.build(frozen.weights)
        case.observer.called = [optimizer]
        report = case.judge(*[None] * 6, finished=False)
        assert {r.reason for r in report} == {diagnoses.NOT_HANDED.title}

    def test_optimizer_that_is_not_built(self):
        """It knows of no variables yet, theirs or others."""
        case = Case()
        case.observer.called = [keras.optimizers.SGD()]
        report = case.judge(None, OK, OK, OK, finished=False)
        assert report.records[0].reason == diagnoses.NOT_HANDED.title


def native(shape, name="gain"):
    """Returns what stands for a variable that Keras does not know of."""
    return types.SimpleNamespace(path=name, name=f"{name}:0", shape=shape)


class TestUntracked:
    PLACE = Place("Mul", layer="scale", layer_class="Scale", line=2)
    NOWHERE = Place("Mul", line=2)

    @pytest.mark.parametrize(
        ("variable", "place", "expected"),
        [
            (lambda: keras.Variable(1.0), PLACE, diagnoses.UNTRACKED),
            (lambda: native((2, 3)), PLACE, diagnoses.UNTRACKED),
            # A number that no layer made may be changed by hand.
            (lambda: native(()), PLACE, diagnoses.UNTRAINED),
            (lambda: keras.Variable(1.0), NOWHERE, diagnoses.UNTRAINED),
            (lambda: native((2, 3)), NOWHERE, diagnoses.UNTRAINED),
        ],
        ids=["number of keras", "native", "setting", "loss", "native in loss"],
    )
    def test_what_the_model_does_not_know_of(self, variable, place, expected):
        case, variable = Case(), variable()
        case.explainer.untracked = [(variable, place)]
        report = case.judge(OK, OK, OK, OK, finished=False)
        record = report.records[-1]
        assert len(report) == 5
        assert record.path == tracers.load("tracer").name_of(variable)
        assert (record.status, record.reason) == ("untracked", expected.title)
        assert record.shape == tuple(variable.shape)
        assert (record.layer, record.layer_class) == (
            place.layer,
            place.layer_class,
        )
        assert record.culprits == (place,)

    def test_it_is_looked_for_once(self):
        case = Case()
        case.explainer.untracked = [(native((2,)), self.PLACE)]
        case.judge(OK, OK, OK, OK, finished=False)
        case.explainer.untracked = []
        assert len(case.judge(OK, OK, OK, OK).untracked) == 1

    def test_it_may_be_ignored(self):
        stranger = native((2,))
        name = tracers.load("tracer").name_of(stranger)
        case = Case(ignore=(name,))
        case.explainer.untracked = [(stranger, self.PLACE)]
        assert statuses(case.judge(OK, OK, OK, OK))[-1] == "ignored"


def test_patterns_leave_the_well_alone():
    case = Case(ignore=("*first*",))
    report = case.judge(OK, ZERO, ZERO, OK)
    assert statuses(report) == ["ok", "ignored", "zero", "ok"]


@pytest.mark.parametrize(
    ("diagnosis", "asked"),
    [
        (diagnoses.NONE, ["missing"]),
        (diagnoses.STRANGER, ["strangers"]),
        (diagnoses.FAILS, []),
    ],
)
def test_step_that_an_optimizer_refused(diagnosis, asked):
    """A diagnosis that says enough needs no replay."""
    case = Case(ignore=("*second/bias",))
    report = case.evidence.refused(diagnosis, case.model.weights)
    assert statuses(report) == ["missing"] * 3 + ["ignored"]
    assert {r.reason for r in report} == {diagnosis.title}
    assert report.batches == 1
    assert [question for question, _ in case.explainer.asked] == asked
    assert case.explainer.forgotten == 1


def test_step_that_failed_in_a_gradient():
    case = Case()
    first, second = case.model.weights[:2]
    causes = {id(first): Cause(diagnoses.FAILS, (HERE,))}
    report = case.evidence.failed(causes, [first, second])
    assert [r.culprits for r in report] == [(HERE,), ()]
    assert {r.reason for r in report} == {diagnoses.FAILS.title}
    assert case.explainer.asked == []
