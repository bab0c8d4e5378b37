import dataclasses

import keras
import numpy as np
import pytest
from toy_nets import LAYERS, Net, cause_of, causes_of, places_of
from toy_steps import frame

from keras_perceptual.gradients import diagnoses, missing
from keras_perceptual.gradients.replay import (
    Derivative,
    Numbers,
    Operation,
    Replay,
)


def one_hot(step, value):
    return step.do("OneHot", step.do("ArgMax", step.do("Softmax", value)))


def step_function(step, value):
    return step.do("Cast", step.do("Greater", value, step.constant(0)))


def largest(step, value):
    return step.do("Cast", step.do("TopKV2", value)[1])


def looked_up(step, value):
    places = step.do("ArgMax", value)
    return step.do("GatherV2", step.constant(np.eye(3)), places)


@pytest.mark.parametrize(
    ("between", "culprit"),
    [
        (lambda step, value: step.do("Round", value), "Round"),
        (lambda step, value: step.do("StopGradient", value), "StopGradient"),
        # Its own gradient function returns nothing.
        (lambda step, value: step.do("IdentityN", value), "IdentityN"),
        (one_hot, "ArgMax"),
        (step_function, "Greater"),
        (largest, "TopKV2"),
        (looked_up, "ArgMax"),
    ],
)
def test_the_operation_that_cuts_is_named(between, culprit):
    cause = cause_of(Net(between).ask())
    assert cause.diagnosis is diagnoses.CUT
    assert places_of(cause) == [(culprit, 2)]
    assert cause.places[0].layer == "cut"


def test_both_of_two_ways_are_cut():
    def both(step, value):
        with step.at(line=21):
            hard = step_function(step, value)
        with step.at(line=22):
            return step.do("Mul", hard, step.do("Round", value))

    cause = cause_of(Net(both).ask())
    assert places_of(cause) == [("Round", 22), ("Greater", 21)]


def test_what_stops_gradients_on_purpose_comes_behind_what_does_not():
    """As of a scale that is kept fixed, beside the rounding by it."""

    def quantized(step, value):
        with step.at(line=21):
            scale = step.do("StopGradient", value)
        with step.at(line=22):
            steps = step.do("Round", step.do("RealDiv", value, scale))
        return step.do("Mul", steps, scale)

    cause = cause_of(Net(quantized).ask())
    assert places_of(cause) == [("Round", 22), ("StopGradient", 21)]


def test_what_no_tape_records_is_named_where_gradients_are_asked_for():
    """A function that is called there has nothing wrong with it."""
    w, x, a, loss = range(4)

    def cause(last):
        operations = (
            Operation("MatMul", (w, x), (a,), frames=(frame(3, "train_step"),)),
            Operation(
                last,
                (a,),
                (loss,),
                frames=(frame(4, "train_step"), frame(30, "criterion")),
            ),
        )
        derivative = Derivative(
            (loss,),
            frozenset("w"),
            {loss: Numbers(1.0)},
            frames=(frame(9, "train_step"),),
        )
        replay = Replay(operations, {w: "w"}, (derivative,), data={x: "x"})
        return missing.find_causes(replay, ["w"], {})["w"]

    assert places_of(cause("Mean")) == [("Mean", 4), ("Mean", 30)]
    # One that may well have no gradient is to blame itself.
    assert places_of(cause("Unknown")) == [("Unknown", 30)]


def test_what_runs_in_a_block_without_records_is_named_there(tmp_path):
    """The layer that it calls has nothing wrong with it."""
    path = tmp_path / "user.py"
    path.write_text("with torch.no_grad():\n    x = layer(x)\n")
    within = (frame(2, filename=str(path)), frame(30, filename="layer.py"))

    def detached(step, value):
        return step.do("StopGradient", value, frames=within)

    net = Net(detached)
    kind = "conv2d under no_grad"
    net._operations = [
        dataclasses.replace(o, kind=kind) if o.kind == "StopGradient" else o
        for o in net._operations
    ]
    assert places_of(cause_of(net.ask())) == [(kind, 2)]


def test_where_the_loss_is_cut_nothing_comes_back_at_all():
    net = Net()
    with net.at(line=5):
        rounded = net.do("Mean", net.do("Round", net.loss))
    for variable in "wv":
        cause = cause_of(net.ask(target=rounded), variable)
        assert cause.diagnosis is diagnoses.CUT
        assert places_of(cause) == [("Round", 5)]


def test_straight_through_in_the_wrong_parentheses():
    def hard(step, value):
        soft = step.do("Softmax", value)
        choice = one_hot(step, value)
        mixed = step.do("AddV2", step.do("Sub", choice, soft), soft)
        with step.at(line=29):
            return step.do("StopGradient", mixed)

    # The argmax is on the way, but without the stop there were another way.
    assert places_of(cause_of(Net(hard).ask())) == [("StopGradient", 29)]


def test_a_way_that_goes_around_is_no_cut():
    def through(step, value):
        error = step.do("Sub", step.do("Round", value), value)
        return step.do("AddV2", value, step.do("StopGradient", error))

    cause = cause_of(Net(through).ask())
    assert cause.diagnosis is diagnoses.NOT_APPLIED


def test_shapes_are_no_cut_unless_there_is_nothing_else():
    def shaped(step, value):
        with step.at(line=21):
            shape = step.do("Shape", value)
        with step.at(line=22):
            return step.do("Reshape", step.do("Round", value), shape)

    assert places_of(cause_of(Net(shaped).ask())) == [("Round", 22)]

    def blank(step, value):
        return step.do("ZerosLike", value)

    assert places_of(cause_of(Net(blank).ask())) == [("ZerosLike", 2)]


def test_a_cut_in_a_branch_may_not_be_taken_by_another_batch():
    def rounded(step, value):
        return step.do("Round", value)

    cause = cause_of(Net(rounded, conditional=True).ask())
    assert cause.diagnosis is diagnoses.CUT_IN_BRANCH
    assert places_of(cause) == [("Round", 2)]

    def twice(step, value):
        hard = step.do("Round", value)
        with step.at(conditional=False):
            return step.do("Mul", hard, step.do("Round", value))

    cause = cause_of(Net(twice, conditional=True).ask())
    assert cause.diagnosis is diagnoses.CUT


def test_a_cut_in_both_branches_stays():
    def rounded(alternatives):
        def compute(step, value):
            condition = step.do("Greater", value, step.constant(0))
            with step.at(conditional=True):
                hard = step.do(
                    "Round", value, alternatives=frozenset(alternatives(value))
                )
            return step.do("If", condition, hard)

        return cause_of(Net(compute).ask())

    cause = rounded(lambda value: [])
    assert cause.diagnosis is diagnoses.CUT
    assert places_of(cause) == [("Round", 2)]
    cause = rounded(lambda value: [value.key])
    assert cause.diagnosis is diagnoses.CUT_IN_BRANCH


def test_whether_a_relu_is_open_is_asked_by_its_derivative():
    inside = keras.__path__[0] + "/src/ops/nn.py"
    frames = (frame(2), frame(9, "relu", inside))

    def derivative(step, value):
        zero = step.constant(0)
        return step.do("Cast", step.do("Greater", value, zero, frames=frames))

    cause = cause_of(Net(derivative).ask())
    assert cause.diagnosis is diagnoses.SECOND_DERIVATIVE
    # A comparison of anybody else's is just that.
    assert cause_of(Net(step_function).ask()).diagnosis is diagnoses.CUT


def test_each_variable_has_its_own_cut():
    def rounded(step, value):
        return step.do("Round", value)

    net = Net(rounded)
    with net.at(line=5):
        stopped = net.do("StopGradient", net.output)
    loss = net.loss_of(stopped)
    causes = causes_of(net.ask(target=loss), "w", "v")
    assert places_of(causes["w"]) == [("Round", 2)]
    assert places_of(causes["v"]) == [("StopGradient", 5)]


def test_nobody_asked():
    net = Net().ask("v")
    cause = cause_of(net)
    assert cause.diagnosis is diagnoses.NOT_ASKED
    assert places_of(cause) == [("gradient", 99)]
    # Of several calls, it is the one whose loss the variable enters.
    other = net.loss_of(net.do("MatMul", net.x, net.v))
    net.differentiate(other, ["v"], line=100)
    assert places_of(cause_of(net)) == [("gradient", 99)]
    # Of several of these the last, which follows on what was remembered.
    again = Net().ask("v")
    again.variable("u", np.eye(3))
    again.differentiate(again.loss, ["u"], line=102)
    again.differentiate(again.loss, ["u"], line=102)  # In a loop.
    assert places_of(cause_of(again)) == [("gradient", 102)]
    again.differentiate(again.loss, ["v"], line=99)
    assert places_of(cause_of(again)) == [("gradient", 99)]
    # Of those, it is one that asks what another one asks as well.
    net.variable("u", np.eye(3))
    net.differentiate(net.loss, ["u"], line=102)
    assert places_of(cause_of(net)) == [("gradient", 99)]
    # Where nothing is differentiated there is no place.
    assert cause_of(Net()).places == ()


def test_what_no_gradient_reaches_is_not_forgotten():
    """A teacher stays as it is, and is no reason to stop."""
    net = Net()
    with net.at("teacher", line=4):
        u = net.variable("u", np.eye(3))
        taught = net.do("StopGradient", net.do("MatMul", net.hidden, u))
    cause = cause_of(net.ask(target=net.loss_of(taught, line=5)), "u")
    assert cause.diagnosis is diagnoses.LEFT_ALONE
    assert places_of(cause) == [("used", 4)]
    # Where one would reach it, it is left out.
    followed = net.loss_of(net.do("MatMul", net.hidden, u), line=6)
    cause = cause_of(net.ask(target=followed), "u")
    assert cause.diagnosis is diagnoses.NOT_ASKED


def test_the_loss_of_something_else_is_differentiated():
    net = Net()
    u = net.variable("u", np.eye(3))
    own = net.loss_of(net.do("MatMul", net.x, u), line=5)
    net.differentiate(own, ["w"], line=100)
    cause = cause_of(net)
    assert cause.diagnosis is diagnoses.OTHER_LOSS
    assert places_of(cause) == [("Mean", 5)]
    # It may be the loss of others: then the question is wrong.
    net.differentiate(own, ["u"], line=101)
    assert places_of(cause_of(net)) == [("gradient", 100)]


def test_a_term_of_the_loss_of_others_is_differentiated():
    """It is asked about in the wrong place, rather than computed wrongly."""
    net = Net()
    u = net.variable("u", np.eye(3))
    own = net.loss_of(net.do("MatMul", net.x, u), line=5)
    net.differentiate(own, ["w"], line=100)
    net.differentiate(net.do("Mul", own, own), ["u"], line=101)
    assert places_of(cause_of(net)) == [("gradient", 100)]


def test_nobody_applied_it():
    cause = cause_of(Net().ask())
    assert cause.diagnosis is diagnoses.NOT_APPLIED
    assert places_of(cause) == [("gradient", 99)]


def test_the_call_whose_result_an_optimizer_was_given():
    """A step may differentiate twice, to look ahead first."""
    net = Net().ask()
    with net.at(line=5):
        rounded = net.do("Round", net.output)
    net.ask(target=net.loss_of(rounded, line=6))
    assert cause_of(net).diagnosis is diagnoses.NOT_APPLIED
    cause = cause_of(net, handed={"w"})
    assert cause.diagnosis is diagnoses.CUT
    assert places_of(cause) == [("Round", 5)]


def test_read_before_there_was_one():
    net = Net()
    with net.at(line=7):
        net.do("grad", net.w, differentiable=False)
    causes = causes_of(net.ask(), "w", "v")
    assert causes["w"].diagnosis is diagnoses.TOO_EARLY
    assert places_of(causes["w"]) == [("grad", 7)]
    assert causes["v"].diagnosis is diagnoses.NOT_APPLIED


def test_never_used():
    net = Net()
    net.variable("u", 1.0)
    net.ask("w", "v", "u")
    assert cause_of(net, "u").diagnosis is diagnoses.UNUSED
    owners = {"u": "elsewhere"}
    assert cause_of(net, "u", owners=owners).diagnosis is diagnoses.UNUSED
    cause = cause_of(net, "u", owners={"u": "last"})
    assert cause.diagnosis is diagnoses.UNUSED_IN_CALLED_LAYER
    assert places_of(cause) == [("MatMul", 3)]


def test_what_a_called_layer_computes_without():
    """Though a gradient may come to it, of what was computed before."""
    net = Net()
    for name in "ut":
        net.variable(name, 1.0)
    replay = net.ask("w", "v", "u", "t").replay()
    owners = {"u": "last", "w": "first", "t": "elsewhere"}
    found = missing.find_computed_before(
        replay, ["u", "w", "t"], LAYERS, owners=owners
    )
    assert found.keys() == {"u"}
    assert found["u"].diagnosis is diagnoses.UNUSED_IN_CALLED_LAYER
    assert missing.find_computed_before(replay, ["u"], LAYERS) == {}


def test_to_be_asked_about_is_no_use():
    net = Net()
    u = net.variable("u", np.eye(3))
    net.do("gradient", net.loss, u)
    net.ask("u", "w")
    assert cause_of(net, "u").diagnosis is diagnoses.UNUSED


def test_what_is_asked_about_alone_and_never_used():
    """The loss that is differentiated has a line, and what is unused none."""
    net = Net()
    net.variable("u", np.eye(3))
    cause = cause_of(net.ask("u"), "u")
    assert cause.diagnosis is diagnoses.UNUSED
    assert places_of(cause) == [("Mean", 4)]


def test_a_moving_average_is_no_use():
    """No layer reads the weight, though something is computed with it."""

    def averaged(*scope):
        net = Net()
        u = net.variable("u", np.eye(3))
        average = net.changeable(np.eye(3))
        with net.at(*scope, line=8):
            net.do("AddV2", average, net.do("Mul", u, net.constant(0.01)))
        return net.ask("w", "v", "u"), u

    net, u = averaged()
    # Another layer of that name may be called, as that of a copy.
    owners = {"u": "last"}
    assert cause_of(net, "u", owners=owners).diagnosis is diagnoses.UNUSED
    with net.at(line=9):
        net.do("MatMul", net.x, u)
    assert places_of(cause_of(net, "u", owners=owners)) == [("MatMul", 9)]
    net, _ = averaged("last")
    assert places_of(cause_of(net, "u", owners=owners)) == [("AddV2", 8)]


def test_a_called_layer_is_shown_by_a_line_of_the_user():
    net = Net()
    net.variable("u", 1.0)
    with net.at("cut"):
        net.do("Identity", net.x, frames=())
        assert cause_of(net.ask("u"), "u", owners={"u": "cut"}).places
        with net.at(line=12):
            net.do("Tanh", net.x)
        with net.at(line=13):
            net.do("Square", net.x)
    cause = cause_of(net, "u", owners={"u": "cut"})
    # The last one is the likeliest to go on without it.
    assert places_of(cause) == [("Square", 13)]
