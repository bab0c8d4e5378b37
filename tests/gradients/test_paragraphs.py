import keras
import pytest
from gradient_records import ROUND, record

from keras_perceptual.gradients import GradientRecord, diagnoses
from keras_perceptual.gradients.paragraphs import (
    SWAPPED,
    WITHOUT_LINE,
    count_others,
    explain_group,
    group_records,
    list_by_layer,
    mend_at,
    point_out,
    shorten,
)
from keras_perceptual.gradients.places import Place


def explain(*records, total=9, batches=3, **kwargs):
    (group,) = group_records(records)
    return explain_group(group, total, batches, **kwargs)


@pytest.mark.parametrize(
    "row, heading",
    [
        (diagnoses.CUT, "receives no gradient (cut off from the loss)"),
        (
            diagnoses.ZERO,
            "receives a gradient of exactly zero in each of the 3 checked "
            "batches",
        ),
        (
            diagnoses.SATURATED,
            "receives a gradient of exactly zero in each of the 3 checked "
            "batches (it ends where an operation is level)",
        ),
        (
            diagnoses.CANCELS,
            "receives a gradient of nothing but zeros and rounding errors",
        ),
        (diagnoses.NONFINITE, "receives a gradient with NaN or infinity"),
        (
            diagnoses.DIVERGED,
            "receives a gradient with NaN or infinity (the numbers grew "
            "until they overflowed)",
        ),
    ],
)
def test_headings(row, heading):
    text = explain(record("a", row))
    assert text.startswith(f"1 of 9 trainable variables {heading}:\n")


def test_one_line_of_several_layers_is_told_once():
    def at(layer, line=3):
        place = Place("Mul", "", layer, "Scale", "net.py", line)
        return record(f"{layer}/w", diagnoses.CUT, (place,))

    both, other = group_records([at("a"), at("b"), at("a", line=4)])
    assert both.paths == ["a/w", "b/w"]
    assert both.culprits == at("a").culprits
    assert other.paths == ["a/w"]


def test_heading_of_several_variables_and_one_batch():
    text = explain(
        record("a", diagnoses.ZERO), record("b", diagnoses.ZERO), batches=1
    )
    assert text.startswith(
        "2 of 9 trainable variables receive a gradient of exactly zero in the "
        "checked batch:\n"
    )


def test_groups_have_the_cause_and_the_places_in_common():
    groups = group_records(
        [
            record("a", diagnoses.CUT, (ROUND,)),
            record("b", diagnoses.CUT),
            record("c", diagnoses.CUT, (ROUND,)),
            record("d", diagnoses.CUT, (ROUND,), note="Otherwise."),
            record("c", diagnoses.CUT, (ROUND,)),
        ]
    )
    assert [group.paths for group in groups] == [["a", "c"], ["d"], ["b"]]


def test_records_without_a_reason_have_the_words_of_their_status():
    zero = GradientRecord("a", "zero", 0.0, (4,), "enc", "Dense")
    assert diagnoses.ZERO.advice in explain(zero)
    missing = GradientRecord("a", "missing")
    assert diagnoses.NONE.advice in explain(missing)


SQRT = Place("Sqrt", "keras.ops.sqrt", file="train.py", line=3)


# What turns the sentences on NaN and those on missing gradients round.
@pytest.mark.parametrize(
    "row, culprit, said, unsaid",
    [
        (diagnoses.MADE_BACKWARD, SQRT, "inside the root", "No gradient"),
        (diagnoses.MADE_FORWARD, ROUND, "slope is not finite", "staircase"),
        (diagnoses.CUT, ROUND, "staircase", "not finite"),
        (diagnoses.CUT_IN_BRANCH, ROUND, "staircase", "not finite"),
        (diagnoses.SATURATED, ROUND, "no slope", "staircase"),
    ],
)
def test_advice_at_a_place_depends_on_the_status(row, culprit, said, unsaid):
    text = explain(record("a", row, (culprit,)))
    assert said in text
    assert unsaid not in text


def test_suspects_are_called_so():
    words = "Operations on the way that can make such numbers:\n  keras.ops"
    assert words in explain(record("a", diagnoses.NONFINITE, (SQRT,)))
    assert "on the way that" not in explain(record("a", diagnoses.NONFINITE))
    for row in (diagnoses.MADE_FORWARD, diagnoses.CUT):
        assert "on the way that" not in explain(record("a", row, (SQRT,)))


def test_advice_is_given_once_for_several_places():
    floor = Place("Floor", "keras.ops.floor", file="train.py", line=4)
    more = [Place("Rint", file="train.py", line=line) for line in (5, 6, 7)]
    text = explain(record("a", diagnoses.CUT, (ROUND, floor, *more)))
    assert text.count("It is a staircase") == 1
    assert "train.py:5" in text
    assert "train.py:6" not in text
    assert text.endswith("\n  and 2 more")


def test_operation_of_a_functional_model_is_looked_for_where_it_is_built():
    step = Place("Cast", keras_operation="cast", above="a", below="b")
    assert WITHOUT_LINE in explain(record("a", diagnoses.CUT, (step,)))
    own = Place("Cast", keras_operation="cast", file="net.py", line=1)
    assert WITHOUT_LINE not in explain(record("a", diagnoses.CUT, (own,)))
    assert WITHOUT_LINE not in explain(record("a", diagnoses.CUT, (ROUND,)))


def test_arguments_of_our_loss_that_were_swapped():
    place = Place("StopGradient", in_our_loss=True)
    text = explain(record("a", diagnoses.CUT, (place,)))
    assert SWAPPED in text
    assert "Predictions go second" in SWAPPED
    assert "straight-through" not in text


def test_functions_have_words_of_their_own():
    text = explain(record("a", diagnoses.UNUSED), of_function=True)
    assert diagnoses.UNUSED.in_function in text
    assert diagnoses.UNUSED.advice not in text
    same = explain(record("a", diagnoses.CUT), of_function=True)
    assert diagnoses.CUT.advice in same


def test_backend_has_words_of_its_own(monkeypatch):
    for backend in ("tensorflow", "jax", "torch"):
        monkeypatch.setattr(keras.backend, "backend", lambda b=backend: b)
        text = explain(record("a", diagnoses.LOSS_LEFT_OUT))
        assert ("return_losses=True" in text) == (backend == "jax")


def test_each_layer_is_listed_once():
    text = list_by_layer(
        [
            record("enc/kernel"),
            record("dec/kernel", layer="dec"),
            record("enc/bias"),
            record("scale", layer=""),
        ]
    )
    assert text == (
        "  layer 'enc' (Dense)\n"
        "    enc/kernel  (4, 8)\n"
        "    enc/bias  (4, 8)\n"
        "  layer 'dec' (Dense)\n"
        "    dec/kernel  (4, 8)\n"
        "  scale  (4, 8)"
    )


def test_long_lists_are_shortened():
    text = list_by_layer([record(f"enc/{i}") for i in range(15)])
    assert "enc/11  " in text
    assert "enc/12" not in text
    assert text.endswith("\n  and 3 more")
    assert shorten([str(i) for i in range(14)]).endswith("'11', and 2 more]")
    assert shorten(["a"]) == "['a']"


def test_how_sure_the_place_is_depends_on_the_fault():
    place = Place("Log", "", "a", "Scale", "net.py", 3)
    titles = {}
    for row in (diagnoses.NONFINITE, diagnoses.CUT):
        for places in ((), (place,)):
            (group,) = group_records([record("a/w", row, places)])
            titles[row, places] = group.title
    assert titles.pop((diagnoses.NONFINITE, (place,))) == "Most likely made by"
    assert "Most likely made by" not in titles.values()


def test_a_place_is_followed_by_the_code_that_stands_there():
    place = Place(
        "Log", "", "a", "Scale", "net.py", 3, within="call", code="log(x)"
    )
    text = explain(record("a/w", diagnoses.CUT, (place,)))
    assert "net.py:3\n    in call: log(x)" in text


@pytest.mark.parametrize(
    "records, said",
    [
        (
            [record("a", diagnoses.CUT, (ROUND,))],
            f"Cut off from the loss: {ROUND}\n    return keras.ops.round(x)",
        ),
        (
            [record("a", diagnoses.CUT, (Place("Log"),))],
            "Cut off from the loss: Log",
        ),
        (
            [record("a", diagnoses.IN_DATA, note="'y' holds NaN.")],
            "NaN or infinity in the data: 'y' holds NaN.",
        ),
        (
            [record("a", diagnoses.CUT)],
            "Cut off from the loss: 'a' of layer 'enc' (Dense)",
        ),
        (
            [record(name, diagnoses.CUT, layer="") for name in "abc"],
            "Cut off from the loss: 'a', and 2 more",
        ),
    ],
)
def test_where_it_begins(records, said):
    """The place tells more than the note, and the note than a name."""
    (group,) = group_records(records)
    assert point_out(group) == said


def test_what_tells_most_comes_first():
    rows = [
        record("general"),
        record("stuck", diagnoses.STUCK),
        record("own", diagnoses.UNUSED),
        record("cancels", diagnoses.CANCELS, (ROUND,)),
        record("placed", diagnoses.CUT, (ROUND,)),
    ]
    paths = [path for group in group_records(rows) for path in group.paths]
    assert paths == ["placed", "cancels", "own", "general", "stuck"]


def test_a_callback_can_be_told_to_leave_variables_out():
    said = "`ignore=['a', 'b']`"
    rows = [record(name, diagnoses.UNUSED) for name in "ab"]
    assert said in explain(*rows)
    assert said not in explain(*rows, judged=False)
    # Nobody wants to keep what is cut off.
    assert "ignore=" not in explain(record("a", diagnoses.CUT))


@pytest.mark.parametrize(
    "count, said", [(1, "1 other variable is"), (2, "2 other variables are")]
)
def test_other_variables(count, said):
    assert count_others(count, "other ") == said
    rows = [record(name, diagnoses.UNTRACKED) for name in "abc"[:count]]
    ours = said.replace("other ", "").split()
    assert explain(*rows).startswith(
        f"{ours[0]} {ours[1]} besides the 9 trainable ones {ours[2]} computed "
        "with and not trained (not among the variables of the model):\n"
    )


def test_no_mend_where_it_does_not_depend_on_the_operation():
    (group,) = group_records([record("a", diagnoses.UNUSED, (ROUND,))])
    assert mend_at(group, [ROUND]) == []
    (group,) = group_records([record("a", diagnoses.CUT, (ROUND,))])
    (mend, _) = mend_at(group, [ROUND, SQRT])
    assert "staircase" in mend


def test_what_no_tape_has_recorded():
    """An operation that has a gradient elsewhere may run too early."""
    (group,) = group_records([record("a", diagnoses.CUT)])
    (mend,) = mend_at(group, [Place("BiasAdd", "keras.ops.add")])
    is_tensorflow = keras.backend.backend() == "tensorflow"
    assert ("tf.GradientTape" in mend) == is_tensorflow
    assert "GradientTape" not in mend_at(group, [ROUND])[0]
