import dataclasses

import numpy as np
import pytest
from toy_nets import Net, cause_of, places_of

from keras_perceptual.gradients import diagnoses


def energy():
    """A potential, and a loss of its derivative alone.

    The second layer has a bias, which drops out.
    """
    net = Net()
    b = net.variable("b", np.zeros(3))
    with net.at("last", line=3):
        value = net.do("Mean", net.do("AddV2", net.output, b))
    net.differentiate(value, [], line=98)
    slope = net.do("MatMul", net.w, net.v)
    return net, slope


def test_a_loss_that_holds_a_derivative_alone():
    net, slope = energy()
    net.differentiate(net.loss_of(net.do("Mean", slope)), ["w", "v", "b"])
    cause = cause_of(net, "b")
    assert cause.diagnosis is diagnoses.DERIVATIVE_ONLY
    # Where it is taken, and of what.
    assert places_of(cause) == [("gradient", 98), ("Mean", 3)]


def test_a_derivative_may_look_at_the_shape():
    net, slope = energy()
    (b,) = (v for v in net._values.values() if v.array.shape == (3,))
    shape = net.do("Shape", net.do("AddV2", slope, b))
    shaped = net.do("Mean", net.do("Reshape", slope, shape))
    net.differentiate(net.loss_of(shaped), ["w", "v", "b"])
    assert cause_of(net, "b").diagnosis is diagnoses.DERIVATIVE_ONLY


@pytest.mark.parametrize("used", [True, False])
def test_a_derivative_that_no_loss_holds(used):
    net, slope = energy()
    with net.at(line=98):
        slope = net.do("Identity", slope)
    loss = net.loss_of(net.do("Mean", slope if used else net.output))
    net.differentiate(loss, ["w", "v", "b"])
    expected = diagnoses.DERIVATIVE_ONLY if used else diagnoses.NO_LOSS
    assert cause_of(net, "b").diagnosis is expected


def test_a_derivative_that_a_loss_holds_the_derivative_of():
    net, slope = energy()
    with net.at(line=98):
        slope = net.do("Identity", slope)
    net.differentiate(slope, [], line=97)
    with net.at(line=97):
        curvature = net.do("Mean", net.do("MatMul", net.w, net.w))
    net.differentiate(net.loss_of(curvature), ["w", "v", "b"])
    assert cause_of(net, "b").diagnosis is diagnoses.DERIVATIVE_ONLY


def test_a_derivative_of_another_loss_is_no_level():
    # As of a generator and a critic, each with an optimizer.
    net, slope = energy()
    net.differentiate(net.loss_of(net.do("Mean", slope)), ["w", "v", "b"])
    replay = net.replay()
    inner, outer = replay.derivatives
    inner = dataclasses.replace(inner, variables=frozenset("w"))
    replay = dataclasses.replace(replay, derivatives=(inner, outer))
    assert cause_of(replay, "b").diagnosis is diagnoses.NO_LOSS


def test_a_second_derivative_without_a_way_back():
    net = Net(lambda step, value: step.do("Relu", value))
    net.differentiate(net.output, [])
    slope = net.do("MatMul", net.w, net.v)
    net.differentiate(slope, [])
    curvature = net.do("MatMul", net.do("ZerosLike", net.hidden), net.w)
    net.differentiate(net.loss_of(curvature), ["w", "v"])
    cause = cause_of(net, "v")
    assert cause.diagnosis is diagnoses.SECOND_DERIVATIVE


def test_the_relu_is_named_whose_derivative_it_is():
    net = Net(lambda step, value: step.do("Relu", value))
    net.differentiate(net.output, [])
    above = net.do("MatMul", net.constant(np.ones((2, 3))), net.v)
    with net.at(line=40):
        slope = net.do("ReluGrad", above, net.hidden)
    net.differentiate(slope, [])
    curvature = net.do("MatMul", net.do("ZerosLike", net.hidden), net.w)
    net.differentiate(net.loss_of(curvature), ["w", "v"])
    cause = cause_of(net, "v")
    assert cause.diagnosis is diagnoses.SECOND_DERIVATIVE
    assert places_of(cause) == [("Relu", 2)]


def test_what_is_stopped_before_a_derivative_is_taken():
    """The derivative that the loss holds is not even computed from it."""
    net = Net()
    with net.at(line=6):
        stopped = net.do("StopGradient", net.output)
    net.differentiate(net.do("Mean", stopped), [], line=98)
    net.differentiate(net.loss_of(net.do("Mean", net.x)), ["w", "v"])
    cause = cause_of(net)
    assert cause.diagnosis is diagnoses.CUT
    assert places_of(cause) == [("StopGradient", 6)]
