import dataclasses

import numpy as np
from toy_nets import LAYERS, Net, places_of

from keras_perceptual.gradients import diagnoses, uses
from keras_perceptual.gradients.replay import Derivative


def test_python_whose_gradient_fails():
    net = Net(lambda step, value: step.do("EagerPyFunc", value))
    net.do("EagerPyFunc", net.output)
    found = uses.find_failing(net.ask().replay(), ["w", "v"], LAYERS)
    assert set(found) == {"w"}
    assert found["w"].diagnosis is diagnoses.FAILS
    assert places_of(found["w"]) == [("EagerPyFunc", 2)]


def uses_of(step, *variables):
    return uses.find_uses(step.replay(), variables, LAYERS)


def test_where_strangers_are_used():
    net = Net()
    with net.at("cut", line=7):
        gain = net.variable("gain", 1.0)
        net.do("Mul", net.x, gain)
        with net.at(line=8):
            scaled = net.do("Mul", net.output, gain)
    net.ask("w", "v", target=net.loss_of(scaled))
    (place,) = uses_of(net, "gain").values()
    # The first use leads nowhere.
    assert (place.line, place.layer) == (8, "cut")
    assert (place.operation, place.function) == ("used", "")
    # A gradient was asked of it, if by nobody else.
    replay = net.ask("gain").replay()
    assert uses.find_uses(replay, ["gain"], LAYERS) == {}
    # It was not asked of it by name.
    of_all = tuple(
        dataclasses.replace(derivative, of_all=True)
        for derivative in replay.derivatives
    )
    replay = dataclasses.replace(replay, derivatives=of_all)
    assert set(uses.find_uses(replay, ["gain"], LAYERS)) == {"gain"}


def test_strangers_that_no_gradient_comes_to():
    for kind in ("StopGradient", "IdentityN"):
        net = Net()
        target = net.do(kind, net.variable("target", np.eye(3)))
        loss = net.loss_of(net.do("MatMul", net.output, target))
        assert uses_of(net.ask(target=loss), "target") == {}


def test_strangers_that_are_read_first():
    net = Net()
    gain = net.do("ReadVariableOp", net.variable("gain", 1.0))
    loss = net.loss_of(net.do("Mul", net.output, gain))
    replay = net.ask(target=loss).replay()
    # The gradient may be known of what was read alone.
    known = dict(replay.derivatives[0].gradients)
    (key,) = (k for k, name in replay.holders.items() if name == "gain")
    del known[key]
    replay = dataclasses.replace(
        replay,
        derivatives=(
            Derivative(
                replay.derivatives[0].targets, frozenset("wv"), gradients=known
            ),
        ),
    )
    assert set(uses.find_uses(replay, ["gain"], LAYERS)) == {"gain"}


def test_strangers_whose_largest_values_are_taken():
    """The first of what comes out has a gradient, the places have none."""
    net = Net()
    values, _ = net.do("TopKV2", net.variable("table", np.eye(3)))
    loss = net.loss_of(net.do("MatMul", net.output, values))
    assert set(uses_of(net.ask(target=loss), "table")) == {"table"}
