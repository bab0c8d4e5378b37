import pytest
from gradient_records import ROUND, record

from keras_perceptual.gradients import (
    GradientRecord,
    GradientReport,
    diagnoses,
    message,
)
from keras_perceptual.gradients.places import Place


def describe(*records, total=4, batches=1, **kwargs):
    report = GradientReport(records, batches)
    return message.describe("Checker", report, total, **kwargs)


def test_whole_message():
    text = describe(
        record("net/enc/kernel", diagnoses.CUT, (ROUND,)),
        record("net/enc/bias", diagnoses.CUT, (ROUND,)),
        raised=True,
    )
    assert text == (
        "Checker: 2 of 4 trainable variables cannot learn. Each of them needs "
        "a finite gradient that is not zero.\n"
        "Cut off from the loss: keras.ops.round (Round) in layer 'snap' "
        "(Snap), train.py:12\n"
        "    return keras.ops.round(x)\n"
        "\n"
        "2 of 4 trainable variables receive no gradient (cut off from the "
        "loss):\n"
        "  layer 'enc' (Dense)\n"
        "    net/enc/kernel  (4, 8)\n"
        "    net/enc/bias  (4, 8)\n"
        "\n"
        "Every path from them to the loss goes through an operation that "
        "passes no gradient back.\n"
        "  keras.ops.round (Round) in layer 'snap' (Snap), train.py:12\n"
        "    in call: return keras.ops.round(x)\n"
        "    It is a staircase: flat everywhere, except at its steps. Leave "
        "it out during training, or use a straight-through estimator, `soft "
        "+ keras.ops.stop_gradient(hard - soft)`, where `hard` is the step "
        "and `soft` is what goes into it.\n"
        "\n"
        "If this is intended, pass `ignore=['net/enc/kernel', "
        "'net/enc/bias']`, or `on_missing=\"warn\"` to train all the same. "
        "The whole table is in `.report`.\n"
        "\n"
        "Received: missing=2"
    )


# The cause and the place stand in the second line, whatever the order of the
# variables.
@pytest.mark.parametrize("turn", [1, -1])
def test_second_line_names_the_place_that_tells_most(turn):
    stuck = Place("MatMul", layer="head", layer_class="Dense")
    offenders = (
        record("a"),
        record("b", diagnoses.CUT_LOSS, (stuck,)),
        record("c", diagnoses.STUCK, (stuck,)),
        record("d", diagnoses.CUT, (ROUND,)),
    )
    lines = describe(*offenders[::turn]).splitlines()
    assert lines[1].startswith("Cut off from the loss: keras.ops.round")
    assert lines[1].endswith("train.py:12")
    assert lines[2] == "    return keras.ops.round(x)"


def test_second_line_without_a_place():
    two = [record(p, diagnoses.UNUSED) for p in ("aux/kernel", "aux/bias")]
    assert describe(*two).splitlines()[1] == (
        "Never used in the training step: 'aux/kernel' of layer 'enc' "
        "(Dense), and 1 more"
    )
    note = "'y' of the batch holds NaN"
    text = describe(record("a", diagnoses.IN_DATA, note=note))
    assert text.splitlines()[1] == f"NaN or infinity in the data: {note}"


@pytest.mark.parametrize(
    "row, count, first",
    [
        (diagnoses.CUT, 1, "1 of 4 trainable variables cannot learn."),
        (diagnoses.NOT_RUN, 2, "2 of 4 trainable variables may not learn."),
        (diagnoses.UNTRAINED, 1, "1 variable is computed with and not"),
        (diagnoses.UNTRACKED, 2, "2 variables are computed with and not"),
    ],
)
def test_first_line_counts(row, count, first):
    text = describe(*[record(str(i), row) for i in range(count)])
    assert text.startswith(f"Checker: {first}")
    assert "0 of" not in text


def test_untracked_variables_beside_others():
    text = describe(
        record("a", diagnoses.CUT), record("b", diagnoses.UNTRACKED)
    )
    assert text.startswith(
        "Checker: 1 of 4 trainable variables cannot learn, and 1 other "
        "variable is not trained at all."
    )
    assert (
        "1 variable besides the 4 trainable ones is computed with and not "
        "trained (not among the variables of the model):"
    ) in text
    assert text.endswith("Received: missing=['a'], untracked=['b']")


def test_warning_does_not_advise_a_warning():
    offenders = [
        record("a", diagnoses.CUT),
        record("b", diagnoses.ZERO),
        record("c", diagnoses.UNTRAINED),
    ]
    assert '="warn"' not in describe(*offenders)
    assert '`on_missing="warn", on_zero="warn"` to train' in describe(
        *offenders, raised=True
    )


def test_ordinary_cases_have_the_opt_out_first():
    text = describe(
        record("pooler/kernel", diagnoses.UNUSED),
        record("enc/kernel", diagnoses.CUT, (ROUND,)),
    )
    own, advice = "`ignore=['pooler/kernel']`", "Their layer is built"
    assert text.index(own) < text.index(advice)
    assert text.count(own) == 1
    assert "If this is intended, pass `ignore=['enc/kernel']`. " in text
    alone = describe(record("pooler/kernel", diagnoses.UNUSED), raised=True)
    assert "warn" not in alone
    assert "\n\nThe whole table is in" in alone


def test_nobody_means_to_have_nan():
    text = describe(record("a", diagnoses.MADE_BACKWARD), raised=True)
    assert "intended" not in text
    assert 'To train all the same, pass `on_nonfinite="warn"`. The' in text
    warned = describe(record("a", diagnoses.MADE_BACKWARD))
    assert "\n\nThe whole table is in" in warned


def test_list_of_paths_is_not_repeated_at_the_end():
    paths = [f"enc/{i}" for i in range(15)]
    text = describe(*map(record, paths), total=15)
    assert text.endswith("\n\nReceived: missing=15")
    assert text.count("enc/3") == 2
    assert describe(record("a")).endswith("Received: missing=['a']")


def test_zeros_seen_so_far_are_mentioned():
    zeros = [record("h/kernel", diagnoses.ZERO), record("h/bias")]
    text = describe(record("a"), seen=zeros)
    assert (
        "2 more variables have received nothing but zeros so far: "
        "['h/kernel', 'h/bias']. Zeros are judged after more batches"
    ) in text
    one = describe(record("a"), seen=zeros[:1])
    assert "1 more variable has received" in one
    assert "so far" not in describe(record("a"))


@pytest.mark.parametrize("row", diagnoses.ALL, ids=lambda row: row.title)
def test_every_diagnosis_makes_a_message(row):
    text = describe(record("net/a", row, (ROUND,), "A note."), raised=True)
    assert row.advice in text
    assert "\nA note.\n" in text
    assert "train.py:12" in text.splitlines()[1]
    assert "{" not in text
    assert text.count("staircase") == (row.mends and row.status != "nonfinite")


class TestPassingZeros:
    def describe(self, *records):
        report = GradientReport(records, batches=3)
        text = message.describe_passing_zeros("Checker", report, 4)
        assert "\n" not in text
        return text

    def test_without_a_cause(self):
        text = self.describe(
            record("a", diagnoses.ZERO), record("b", diagnoses.ZERO)
        )
        assert text.startswith(
            "Checker: 2 of 4 trainable variables receive a gradient of exactly "
            "zero in each of the 3 checked batches. That is ordinary for a "
            "gate"
        )
        assert "a last bias that drops out of a difference" in text
        assert text.endswith("Received: zero=['a', 'b']")

    def test_with_a_place(self):
        text = self.describe(record("a", diagnoses.ZERO, (ROUND,)))
        assert f"It ends at {ROUND}. That is ordinary" in text

    def test_with_a_cause(self):
        text = self.describe(
            record("a", diagnoses.MASKED, (ROUND,), "'y' is masked.")
        )
        assert (
            f"{diagnoses.MASKED.title[1:]}: {ROUND}. 'y' is masked. "
            f"{diagnoses.MASKED.advice}"
        ) in text
        assert "gate" not in text
        assert "staircase" not in text

    def test_with_a_mend(self):
        text = self.describe(record("a", diagnoses.CUT_IN_BRANCH, (ROUND,)))
        assert "staircase" in text

    def test_with_a_cause_and_no_place(self):
        text = self.describe(record("a/bias", diagnoses.DERIVATIVE_ONLY))
        assert ": ['a/bias']. The loss holds only a derivative" in text
        assert "`ignore`" in text


class TestExplanationOfAReport:
    def test_nothing_is_the_matter(self):
        report = GradientReport((GradientRecord("a", "ok"),), 1)
        assert report.explain().startswith("Nothing was found")

    def test_of_a_model(self):
        bad = record("a", diagnoses.UNUSED)
        ok = GradientRecord("b", "ok")
        ignored = GradientRecord("c", "ignored")
        text = GradientReport((bad, ok, ignored), 1).explain()
        assert text.startswith("1 of 3 trainable variables cannot learn.")
        assert diagnoses.UNUSED.advice in text
        assert "ignore" not in text
        assert "Received" not in text

    def test_of_a_function(self):
        report = GradientReport(
            (record("a", diagnoses.IGNORES_MODEL, layer=""),),
            1,
            of_function=True,
        )
        text = report.explain()
        assert diagnoses.IGNORES_MODEL.in_function in text
        assert "y_pred" not in text
        assert "\n  a  (4, 8)\n" in text


def test_frozen_model():
    text = message.describe_all_frozen("Checker", "net")
    assert "no trainable variables" in text
    assert "warn" not in text
    assert text.endswith("Received: model='net', trainable_variables=[]")
    error = message.describe_all_frozen("Checker", "net", raised=True)
    assert '`on_missing="warn"`' in error


def test_patterns_that_match_nothing():
    text = message.describe_unmatched("Checker", ["x*"], ["net/a", "net/b"])
    assert "['net/a', 'net/b']" in text
    assert text.endswith("Received: ignore=['x*']")


@pytest.mark.parametrize(
    "added, removed, count, end",
    [
        (["a", "b"], [], "(2 unfrozen)", "unfrozen=['a', 'b']"),
        (["a"], ["c"], "(1 unfrozen, 1 frozen)", "frozen=['c']"),
    ],
)
def test_trainable_set_that_changed(added, removed, count, end):
    text = message.describe_stale("Checker", added, removed)
    assert count in text
    assert "Call `model.compile` again" in text
    assert text.endswith(end)
    assert "\n" not in text


def test_check_that_failed():
    error = KeyError("first line\nsecond line" + "x" * 400)
    text = message.describe_trouble("Checker", error)
    assert "Training continues" in text
    assert "Received: KeyError: 'first line" in text
    assert "\n" not in text
    assert text.endswith("x...")
    assert len(text) < 700


def test_nan_after_the_checked_batches():
    report = GradientReport(
        (
            GradientRecord("a", "ok", 0.5),
            GradientRecord("b", "ok", 123456.0),
            GradientRecord("c", "missing"),
        ),
        batches=3,
    )
    text = message.describe_late_nan("Checker", 2, report)
    assert "after epoch 2. In the checked batches (3)" in text
    assert "a norm of 1.23e+05 ('b')" in text
    assert "learning rate" in text
    assert "`steps=`" in text
    assert "\n" not in text
    nothing = message.describe_late_nan("Checker", 2, GradientReport())
    assert "no gradient was seen" in nothing
