import dataclasses

import keras
import numpy as np
import pytest
from toy_steps import Step

from keras_perceptual.gradients import diagnoses, nonfinite

LAYERS = {name: keras.layers.Layer(name=name) for name in ("one", "guilty")}


class Net(Step):
    """A layer, something in the next one, and a loss."""

    def __init__(self, compute, *, x=None, y=None, w=None):
        super().__init__()
        rng = np.random.default_rng(0)
        self.x = self.data("x", rng.normal(size=(4, 3)) if x is None else x)
        self.y = self.data("y", rng.normal(size=(4, 3)) if y is None else y)
        self.w = self.variable("w", rng.normal(size=(3, 3)) if w is None else w)
        with self.at("one", line=1):
            value = self.do("MatMul", self.x, self.w)
        with self.at("guilty", line=5):
            value = compute(self, value)
        with self.at(line=8):
            error = self.do("Sub", self.y, value)
            loss = self.do("Mean", self.do("Square", error))
        self.differentiate(loss, ["w"])


def cause_of(net):
    replay = net if dataclasses.is_dataclass(net) else net.replay()
    return nonfinite.find_cause(replay, ["w"], LAYERS)


def found_in(*args, **kwargs):
    cause = cause_of(Net(*args, **kwargs))
    return cause.diagnosis, *((p.operation, p.line) for p in cause.places)


def root_of_nothing(net, value):
    return net.do("AddV2", value, net.do("Sqrt", net.do("Sub", value, value)))


def test_the_derivative_is_to_blame():
    # Neither the sum after it nor the difference before it.
    found = found_in(root_of_nothing)
    assert found == (diagnoses.MADE_BACKWARD, ("Sqrt", 5))


def test_innocent_users_of_the_same_value():
    # The value that NaN comes back to goes into more than one operation.
    def compute(net, value):
        square = net.do("Square", net.do("Sub", value, value))
        with net.at(line=6):
            root = net.do("Sqrt", square)
        with net.at(line=7):
            moved = net.do("AddV2", square, value)
        return net.do("AddV2", moved, root)

    assert found_in(compute) == (diagnoses.MADE_BACKWARD, ("Sqrt", 6))


def test_the_first_seen_from_the_loss():
    def compute(net, value):
        with net.at(line=6):
            below = net.do("Sqrt", net.do("Sub", value, value))
        with net.at(line=7):
            above = net.do("Sqrt", net.do("Sub", value, value))
        return net.do("AddV2", net.do("AddV2", value, below), above)

    assert found_in(compute) == (
        diagnoses.MADE_BACKWARD,
        ("Sqrt", 7),
        ("Sqrt", 6),
    )


def test_what_is_computed_is_to_blame():
    found = found_in(lambda net, v: net.do("Log", net.do("Sub", v, v)))
    assert found == (diagnoses.MADE_FORWARD, ("Log", 5))


def test_a_choice_does_not_save_the_derivative():
    def compute(net, value):
        logarithm = net.do("Log", value)
        positive = net.do("Greater", value, net.constant(0))
        return net.do("SelectV2", positive, logarithm, value)

    net = Net(lambda n, v: compute(n, n.do("Maximum", v, n.constant(0.0))))
    cause = cause_of(net)
    assert cause.diagnosis is diagnoses.MADE_BACKWARD
    assert [p.operation for p in cause.places] == ["Log"]


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (dict(y=np.full((4, 3), np.nan)), "'y' of the batch holds NaN."),
        (dict(x=np.full((4, 3), np.inf)), "'x' of the batch holds infinity."),
        (
            dict(x=np.full((4, 3), np.inf), y=np.full((4, 3), np.nan)),
            "'x' and 'y' of the batch hold NaN.",
        ),
    ],
)
def test_data(arguments, note):
    cause = cause_of(Net(lambda net, v: net.do("Tanh", v), **arguments))
    assert cause.diagnosis is diagnoses.IN_DATA
    assert set(cause.note) == set(note)
    assert sorted(cause.note.split()) == sorted(note.split())


def test_data_that_are_masked_too_late():
    # The loss is finite; what comes back is zero times NaN.
    def compute(net, value):
        known = net.constant(0)
        product = net.do("Mul", value, net.y)
        return net.do("SelectV2", known, product, value)

    net = Net(compute, y=np.full((4, 3), np.nan))
    replay = net.replay()
    # The loss of this step compares with `y` as well.
    assert nonfinite.find_cause(replay, ["w"], LAYERS).note
    step = Step()
    y = step.data("y", np.array([np.nan]))
    w = step.variable("w", 1.0)
    product = step.do("Mul", w, y)
    loss = step.do("Mean", step.do("SelectV2", step.constant(0), product, w))
    step.differentiate(loss, ["w"])
    cause = cause_of(step)
    assert cause.diagnosis is diagnoses.IN_DATA
    assert cause.note == "'y' of the batch holds NaN."


def test_data_that_are_masked_are_innocent():
    step = Step()
    y = step.data("y", np.array([np.nan]))
    w = step.variable("w", 1.0)
    filled = step.do("SelectV2", step.constant(0), y, w)
    with step.at(line=5):
        root = step.do("Sqrt", step.do("Sub", filled, filled))
    step.differentiate(step.do("Mean", root), ["w"])
    cause = cause_of(step)
    assert (cause.diagnosis, cause.note) == (diagnoses.MADE_BACKWARD, "")
    assert [p.operation for p in cause.places] == ["Sqrt"]


def test_what_was_there_before_the_step():
    broken = np.full((3, 3), np.nan)
    cause = cause_of(Net(lambda net, v: v, w=broken))
    assert cause.diagnosis is diagnoses.DIVERGED
    assert "before this step" in cause.note

    def with_moving_mean(net, value):
        return net.do("Sub", value, net.changeable(np.nan))

    cause = cause_of(Net(with_moving_mean))
    assert cause.diagnosis is diagnoses.NONFINITE
    assert "not trained" in cause.note


def grown(net, value):
    for _ in range(5):
        value = net.do("Square", value)
    return value


def test_numbers_that_grew():
    large = np.full((3, 3), 1e100)
    assert found_in(grown, w=large) == (diagnoses.DIVERGED,)
    # What is not large and grows at once is its own fault.
    found = found_in(lambda net, v: net.do("Exp", v), w=np.eye(3) * 5000)
    assert found == (diagnoses.MADE_FORWARD, ("Exp", 5))


def test_steps_that_are_too_large_are_those_of_the_optimizer():
    large = keras.optimizers.Adamax(0.173)
    cause = nonfinite.explain_divergence(large, "'w' is NaN.")
    assert (cause.diagnosis, cause.note) == (diagnoses.DIVERGED, "'w' is NaN.")
    (place,) = cause.places
    assert place.code == "large = keras.optimizers.Adamax(0.173)"
    assert nonfinite.explain_divergence(None).places == ()


def test_numbers_that_one_operation_made_large():
    def compute(net, value):
        with net.at(line=6):
            tiny = net.do("Exp", net.do("Sub", value, net.constant(700.0)))
            large = net.do("RealDiv", net.constant(1.0), tiny)
        return net.do("Mul", large, large)

    assert found_in(compute) == (diagnoses.MADE_FORWARD, ("RealDiv", 6))


def test_gradients_that_grew():
    # The loss is still finite.
    step = Step()
    w = step.variable("w", 1e-200)
    scaled = step.do("Mul", w, step.constant(1e200))
    with step.at(line=3):
        again = step.do("Mul", scaled, step.constant(1e100))
    loss = step.do("Mul", again, step.constant(1e100))
    step.differentiate(loss, ["w"])
    assert cause_of(step).diagnosis is diagnoses.DIVERGED


def test_a_large_constant_is_no_step_that_was_too_large():
    def masked(net, value):
        bound = net.constant(-1.7e308)
        return net.do("AddV2", net.do("AddV2", value, bound), bound)

    assert found_in(masked)[0] is diagnoses.MADE_FORWARD


@pytest.mark.parametrize("where", ["kind", "function"])
def test_labels_that_nothing_can_match(where):
    def ctc(net, value):
        likelihood = net.do("Sub", value, value)
        if where == "function":
            with net.at(function="ctc_loss"):
                return net.do("Log", likelihood)
        return net.do("Log", likelihood)

    replay = Net(ctc).replay()
    if where == "kind":
        operations = tuple(
            dataclasses.replace(o, kind="CTCLossV2") if o.kind == "Log" else o
            for o in replay.operations
        )
        replay = dataclasses.replace(replay, operations=operations)
    assert cause_of(replay).diagnosis is diagnoses.IMPOSSIBLE_LABELS


def test_lines_of_the_user_come_first():
    def compute(net, value):
        nothing = net.do("Sub", value, value)
        with net.at(line=0):
            inside = net.do("Log", nothing)
        return net.do("AddV2", inside, net.do("Log", nothing))

    # Without layers: no line that creates one stands for a line of 0.
    places = nonfinite.find_cause(Net(compute).replay(), ["w"], {}).places
    assert [(p.operation, p.line) for p in places] == [("Log", 5), ("Log", 0)]


def test_what_is_harmless_alone_is_told_where_nothing_else_is():
    """A sum at which infinity comes back to the one of its inputs."""
    step = Step()
    w = step.variable("w", 1.0)
    with step.at(line=5):
        total = step.do("AddV2", w, step.constant(1))
    loss = step.do("Mean", total)
    step.differentiate(loss, ["w"])
    replay = step.replay()
    (derivative,) = replay.derivatives
    for guilty in ("Log", None):
        gradients = {
            **derivative.gradients,
            w.key: dataclasses.replace(
                derivative.gradients[w.key], infinite=True
            ),
        }
        operations = replay.operations
        if guilty:
            # Something else that the same value goes into is to blame.
            operations = (
                *operations[:1],
                dataclasses.replace(operations[0], kind=guilty),
                *operations[1:],
            )
        broken = dataclasses.replace(
            replay,
            operations=operations,
            derivatives=(dataclasses.replace(derivative, gradients=gradients),),
        )
        places = cause_of(broken).places
        assert [p.operation for p in places] == [guilty or "AddV2"]


def test_suspects_where_all_seems_well():
    # As where a compiler takes another way through a choice.
    def compute(net, value):
        with net.at(line=6):
            guarded = net.do(
                "Sqrt", net.do("Maximum", value, net.constant(1.0))
            )
        with net.at(line=7):
            square = net.do("Square", value)
            return net.do("AddV2", net.do("Log", square), guarded)

    found = found_in(compute)
    assert found == (diagnoses.NONFINITE, ("Log", 7))


def test_a_square_is_the_last_of_the_suspects():
    def compute(net, value, power):
        with net.at(line=6):
            root = net.do("Sqrt", net.do("Square", value))
        with net.at(line=7):
            return net.do("Pow", root, net.constant(power))

    def order(power):
        return found_in(lambda net, value: compute(net, value, power))[1:]

    assert order(2.0) == (("Sqrt", 6), ("Pow", 7))
    assert order(0.5) == (("Pow", 7), ("Sqrt", 6))


def test_only_those_between_the_variables_and_the_loss():
    def compute(net, value):
        with net.at(line=6):
            scale = net.do("Log", net.do("Square", net.x))
        return net.do("Mul", net.do("Log", net.do("Square", value)), scale)

    # The others, whose result goes in, come afterwards.
    assert found_in(compute) == (
        diagnoses.NONFINITE,
        ("Log", 5),
        ("Log", 6),
    )
