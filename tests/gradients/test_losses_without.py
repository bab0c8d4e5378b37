import numpy as np
from toy_nets import Net, cause_of, causes_of, places_of
from toy_steps import frame

from keras_perceptual.gradients import diagnoses


def test_nothing_enters_the_loss():
    net = Net()
    u = net.variable("u", np.eye(3))
    with net.at("cut", line=8):
        net.do("Tanh", net.do("MatMul", net.hidden, u))
    cause = cause_of(net.ask("w", "v", "u"), "u")
    assert cause.diagnosis is diagnoses.NO_LOSS
    assert places_of(cause) == [("Tanh", 8)]


def test_the_loss_ignores_the_model():
    net = Net()
    with net.at(line=6):
        loss = net.do("Mean", net.do("Square", net.y))
    for cause in causes_of(net.ask(target=loss), "w", "v").values():
        assert cause.diagnosis is diagnoses.IGNORES_MODEL
        assert places_of(cause) == [("Mean", 6)]


def test_a_number_in_the_place_of_a_prediction():
    net = Net()
    with net.at(line=6):
        number = net.do("Identity", net.constant(np.ones((2, 3))))
    loss = net.loss_of(number, line=7)
    cause = cause_of(net.ask(target=loss))
    assert cause.diagnosis is diagnoses.IGNORES_MODEL
    assert places_of(cause) == [("Identity", 6)]


def test_a_loss_of_what_is_frozen_is_named_where_that_is_compared():
    """Not in the function that compares, nor at a number in that."""
    net = Net()
    step = frame(6, "train_step")
    with net.at("cut"):
        seen = net.do(
            "Mul", net.y, net.changeable(np.ones((2, 3))), frames=(step,)
        )
    compare = (frame(7, "train_step"), frame(30, "criterion"))
    loss = net.do("Mean", seen, frames=compare)
    loss = net.do("Sub", net.constant(2.0), loss, frames=compare)
    cause = cause_of(net.ask(target=loss))
    assert cause.diagnosis is diagnoses.IGNORES_MODEL
    assert [place.line for place in cause.places] == [7]


def test_a_condition_is_no_part_of_the_loss():
    net = Net()
    condition = net.do("Greater", net.loss, net.constant(0))
    loss = net.do("Mean", net.do("If", condition, net.y))
    cause = cause_of(net.ask(target=loss))
    assert cause.diagnosis is diagnoses.IGNORES_MODEL


def test_the_loss_of_compile_leaves_the_model_out():
    def cause(use):
        net = Net()
        keras_calls = frame(1, filename="keras/trainers/compile_utils.py")
        loss = net.do("Mean", use(net), frames=(keras_calls, frame(6, "loss")))
        added = net.do("Mean", net.hidden)
        total = net.do("AddV2", loss, added)
        return cause_of(net.ask(target=total), "v")

    found = cause(lambda net: net.y)
    assert found.diagnosis is diagnoses.IGNORES_PREDICTION
    assert places_of(found) == [("Mean", 6)]
    # It may be that of another output.
    assert cause(lambda net: net.hidden).diagnosis is diagnoses.NO_LOSS


def test_the_loss_ignores_the_prediction():
    net = Net()
    with net.at(line=6), net.at("first"):
        encoded = net.do("MatMul", net.y, net.w)
    loss = net.do("Mean", encoded)
    cause = cause_of(net.ask(target=loss), "v")
    assert cause.diagnosis is diagnoses.IGNORES_PREDICTION
    assert places_of(cause) == [("MatMul", 6)]
    # A second output without a loss is no such thing.
    net = Net()
    encoded = net.do("MatMul", net.y, net.w)
    loss = net.do("Mean", net.do("Mul", encoded, net.hidden))
    cause = cause_of(net.ask(target=loss), "v")
    assert cause.diagnosis is diagnoses.NO_LOSS


def test_a_number_that_left():
    def with_number(read_first):
        net = Net()
        u = net.variable("u", np.eye(3))
        head = net.do("Mean", net.do("MatMul", net.hidden, u))

        def read():
            with net.at(line=13):
                net.do("item", head)

        if read_first:
            read()
        # It goes in as a constant.
        loss = net.do("AddV2", net.loss, net.constant(head.array))
        if not read_first:
            read()
        net.differentiate(loss, ["w", "v", "u"])
        return cause_of(net, "u")

    cause = with_number(read_first=True)
    assert cause.diagnosis is diagnoses.LEFT
    assert places_of(cause) == [("item", 13)]
    # What is read afterwards is for a log.
    assert with_number(read_first=False).diagnosis is diagnoses.NO_LOSS


def test_a_loss_that_is_a_number():
    net = Net()
    with net.at(line=13):
        net.do("item", net.loss)
    loss = net.constant(1.0)
    assert cause_of(net.ask(target=loss)).diagnosis is diagnoses.LEFT
