import dataclasses

import keras
import numpy as np
import pytest
from toy_steps import Step

from keras_perceptual.gradients import diagnoses, zeros
from keras_perceptual.gradients.cuts import Locator
from keras_perceptual.gradients.zero_ends import End

LAYERS = {
    name: keras.layers.Layer(name=name)
    for name in ("one", "two", "three", "gate")
}


class Net(Step):
    """Layers one upon the other."""

    def __init__(self, x=None):
        super().__init__()
        self.rng = np.random.default_rng(0)
        self.x = self.data("x", self.numbers(4, 3) if x is None else x)

    def numbers(self, *shape):
        return self.rng.normal(size=shape)

    def dense(self, name, value, size=3, *, line=1, relu=False):
        with self.at(name, line=line):
            width = value.array.shape[-1]
            w = self.variable(f"{name}/w", self.numbers(width, size))
            b = self.variable(f"{name}/b", np.zeros(size))
            value = self.do("AddV2", self.do("MatMul", value, w), b)
            return self.do("Relu", value) if relu else value

    def loss_of(self, value):
        y = self.data("y", self.numbers(*value.array.shape))
        with self.at(line=50):
            error = self.do("Sub", y, value)
            return self.do("Mean", self.do("Square", error))

    def ask(self, loss):
        self.differentiate(loss, set(self._holders.values()))
        return self

    def find(self):
        """Returns what is found about all gradients of zeros."""
        return find_in(self.replay())


def find_in(replay):
    derivative = replay.derivatives[-1]
    zero = [
        variable
        for key, variable in replay.holders.items()
        if key not in derivative.gradients
        or derivative.gradients[key].size < 1e-7
    ]
    causes = zeros.find_causes(replay, zero, LAYERS)
    return {
        variable: (
            cause.diagnosis,
            *((p.operation, p.line) for p in cause.places),
        )
        for variable, cause in causes.items()
    }


def between(compute, size=3, x=None):
    """A layer, something else, and another layer."""
    net = Net(x)
    value = net.dense("one", net.x, size)
    with net.at("gate", line=5):
        value = compute(net, value)
    return net.ask(net.loss_of(net.dense("three", value, line=7)))


def minus(net, value, number):
    return net.do("Sub", value, net.constant(number))


@pytest.mark.parametrize(
    ("kind", "compute"),
    [
        ("Relu", lambda net, v: net.do("Relu", minus(net, v, 1e6))),
        ("Tanh", lambda net, v: net.do("Tanh", minus(net, v, 1e6))),
        (
            "Maximum",
            lambda net, v: net.do(
                "Maximum", minus(net, v, 1e6), net.constant(1.0)
            ),
        ),
    ],
)
def test_level_operations(kind, compute):
    found = between(compute).find()
    for variable in ("one/w", "one/b"):
        assert found[variable] == (diagnoses.SATURATED, (kind, 5))


def test_a_level_operation_that_lets_something_through():
    assert between(lambda net, v: net.do("Relu", v)).find() == {}


def test_the_larger_of_two_learned_values_is_a_choice():
    def larger(net, value):
        other = net.variable("other", np.full((4, 3), 1e6))
        return net.do("Maximum", value, other)

    assert between(larger).find() == {}


def test_the_root_of_a_chain_of_dead_layers():
    net = Net()
    value = net.dense("one", net.x)
    with net.at("gate", line=5):
        value = net.do("Relu", minus(net, value, 1e6))
    value = net.dense("two", value, line=6, relu=True)
    found = net.ask(net.loss_of(net.dense("three", value, line=7))).find()
    root = diagnoses.SATURATED, ("Relu", 5)
    assert found == dict.fromkeys(
        ("one/w", "one/b", "two/w", "two/b", "three/w"), root
    )


def test_what_feeds_a_dead_layer_may_move_and_wake_it():
    net = Net()
    hidden = net.dense("one", net.x)
    with net.at("gate", line=5):
        dead = net.do("Relu", minus(net, hidden, 1e6))
    value = net.dense("two", dead, line=6)
    found = net.ask(net.loss_of(net.do("AddV2", value, hidden))).find()
    assert found == {"two/w": (diagnoses.ZERO, ("Relu", 5))}


def test_a_loss_may_have_enough():
    net = Net()
    value = net.dense("one", net.x)
    with net.at(line=40):
        loss = net.do("Mean", net.do("Relu", minus(net, value, 1e6)))
    found = net.ask(loss).find()
    expected = diagnoses.ZERO, ("Relu", 40)
    assert found == {"one/w": expected, "one/b": expected}


def test_a_softmax_over_one_unit():
    found = between(lambda net, v: net.do("Softmax", v), size=1).find()
    expected = diagnoses.SOFTMAX_OF_ONE, ("Softmax", 5)
    assert found == {"one/w": expected, "one/b": expected}


def test_a_softmax_that_has_decided():
    def decided(net, value):
        far = net.variable("far", np.array([0.0, 5000.0, -5000.0]))
        return net.do("Softmax", net.do("AddV2", value, far))

    found = between(decided).find()
    assert found["one/w"] == (diagnoses.SATURATED, ("Softmax", 5))


def test_a_softmax_that_a_mask_decides():
    def masked(net, value):
        mask = net.data("x", np.array([0.0, -1e9, -1e9]))
        return net.do("Softmax", net.do("AddV2", value, mask))

    assert "one/w" not in between(masked).find()


def test_the_sum_of_a_softmax():
    net = Net()
    value = net.dense("one", net.x)
    with net.at("gate", line=5):
        value = net.do("RowMean", net.do("Softmax", value))
    found = net.ask(net.loss_of(value)).find()
    # What is left are rounding errors, or their sum, which is zero.
    assert set(found.values()) == {(diagnoses.CANCELS, ("Softmax", 5))}
    assert set(found) == {"one/w", "one/b"}


def normalized(net, value):
    scale = net.constant(2.0)
    mean = net.do("Mul", net.do("RowMean", value), scale)
    return net.do("Sub", net.do("Mul", value, scale), mean)


def test_a_normalization_of_one_number():
    found = between(normalized, size=1).find()
    for variable in ("one/w", "one/b"):
        assert found[variable] == (diagnoses.CANCELS, ("Mul", 5))
    # What multiplies the result is told nothing: a difference may be zero by
    # chance.
    assert "three/w" not in found
    assert between(normalized, size=2).find() == {}


def test_a_last_bias_may_cancel_out():
    # The score of what is made less that of what is real.
    net = Net()
    w = net.variable("w", net.numbers(3, 1))
    b = net.variable("b", np.zeros((1, 1)))
    fake = net.do("Mean", net.do("AddV2", net.do("MatMul", net.x, w), b))
    y = net.data("y", net.numbers(4, 3))
    real = net.do("Mean", net.do("AddV2", net.do("MatMul", y, w), b))
    replay = net.ask(net.do("Sub", fake, real)).replay()
    assert "b" in {
        v
        for k, v in replay.holders.items()
        if replay.derivatives[0].gradients[k].zero
    }
    assert find_in(replay) == {}


def low_rank(a, b):
    net = Net()
    with net.at("gate", line=2):
        a, b = net.variable("a", a), net.variable("b", b)
        added = net.do("MatMul", net.do("MatMul", net.x, a), b)
    value = net.do("AddV2", net.x, added)
    return net.ask(net.loss_of(net.dense("three", value, line=7)))


def test_two_factors_of_zero():
    found = low_rank(np.zeros((3, 2)), np.zeros((2, 3))).find()
    stuck = diagnoses.STUCK, ("MatMul", 2)
    assert found == {"a": stuck, "b": stuck}
    # With one of them, the other one moves.
    assert low_rank(np.ones((3, 2)), np.zeros((2, 3))).find() == {}


def test_what_waits_for_something_that_may_change_may_change():
    net = Net()
    a = net.variable("a", np.ones((3, 2)))
    b = net.variable("b", np.zeros((2, 3)))
    hidden = net.do("MatMul", net.x, a)
    gate = net.do("Cast", net.do("Greater", hidden, net.constant(9)))
    value = net.do("MatMul", net.do("Mul", hidden, gate), b)
    assert net.ask(net.loss_of(value)).find() == {}


@pytest.mark.parametrize(
    ("factor", "diagnosis"),
    [
        (lambda net, v: net.constant(0), diagnoses.TIMES_ZERO),
        (lambda net, v: net.do("ZerosLike", v), diagnoses.TIMES_ZERO),
        (lambda net, v: net.changeable(0), diagnoses.ZERO),
        (
            lambda net, v: net.data("sample_weight", np.zeros((2, 1))),
            diagnoses.MASKED,
        ),
        (
            lambda net, v: net.do(
                "Cast", net.do("Greater", net.x, net.constant(9))
            ),
            diagnoses.MASKED,
        ),
        # Another batch may be different.
        (
            lambda net, v: net.do(
                "Cast", net.do("Greater", v, net.constant(1e9))
            ),
            None,
        ),
        # It is not zero everywhere.
        (lambda net, v: net.constant([0, 0, 1]), None),
    ],
)
def test_a_factor_of_zero(factor, diagnosis):
    net = Net(np.random.default_rng(0).normal(size=(2, 3)))
    value = net.dense("one", net.x)
    with net.at("gate", line=5):
        value = net.do("Mul", value, factor(net, value))
    found = net.ask(net.loss_of(net.dense("three", value, line=7))).find()
    expected = None if diagnosis is None else (diagnosis, ("Mul", 5))
    assert found.get("one/w") == expected


def test_a_mask_that_is_drawn_is_shown():
    """Another draw may be different."""
    net = Net(np.random.default_rng(0).normal(size=(2, 3)))
    value = net.dense("one", net.x)
    with net.at("gate", line=5):
        drawn = net.do("RandomUniform")
        mask = net.do("Cast", net.do("Greater", drawn, net.constant(0.9)))
        value = net.do("Mul", value, mask)
    found = net.ask(net.loss_of(net.dense("three", value, line=7))).find()
    assert found["one/w"] == (diagnoses.ZERO, ("Greater", 5))


def test_a_number_of_python_that_is_zero():
    def times(net, value):
        return net.do("Mul", value, net.constant(0))

    replay = between(times).replay()
    # It may be left out of what goes in.
    operations = tuple(
        dataclasses.replace(o, inputs=o.inputs[:1]) if o.kind == "Mul" else o
        for o in replay.operations
    )
    replay = dataclasses.replace(replay, operations=operations)
    assert find_in(replay)["one/w"] == (diagnoses.TIMES_ZERO, ("Mul", 5))


def test_what_follows_a_constant_zero():
    found = between(lambda net, v: net.do("Mul", v, net.constant(0))).find()
    assert found["three/w"] == (diagnoses.TIMES_ZERO, ("Mul", 5))


def test_the_first_state_of_a_recurrent_layer_is_no_error():
    net = Net()
    with net.at("one", line=3):
        kernel = net.variable("recurrent", net.numbers(3, 3))
        state = net.do("MatMul", net.constant(np.zeros((4, 3))), kernel)
    value = net.do("AddV2", net.dense("two", net.x), state)
    found = net.ask(net.loss_of(value)).find()
    assert found == {"recurrent": (diagnoses.ZERO, ("MatMul", 3))}


def test_blank_input():
    net = Net(np.zeros((4, 3)))
    value = net.dense("one", net.x, line=3)
    found = net.ask(net.loss_of(value)).find()
    assert found == {"one/w": (diagnoses.BLANK_INPUT, ("MatMul", 3))}
    # With a ReLU nothing passes it at all.
    net = Net(np.zeros((4, 3)))
    value = net.dense("one", net.x, line=3, relu=True)
    found = net.ask(net.loss_of(net.dense("three", value, line=7))).find()
    blank = diagnoses.BLANK_INPUT, ("MatMul", 3)
    assert found == dict.fromkeys(("one/w", "one/b", "three/w"), blank)


def rolled(mask, steps):
    """A recurrent layer that keeps its state where a mask says so."""
    net = Net()
    mask = net.data("x", mask)
    state = net.constant(np.zeros((4, 3)))
    kernel = net.variable("kernel", net.numbers(3, 3))
    with net.at("gate", line=5):
        for _ in range(steps):
            new = net.do("Tanh", net.do("MatMul", net.x, kernel))
            state = net.do("SelectV2", mask, new, state)
    value = net.dense("three", state, line=7)
    return net.ask(net.loss_of(value)).find()


@pytest.mark.parametrize("dead", [True, False])
def test_what_is_zero_behind_a_choice_for_a_dead_layer(dead):
    """Where nothing comes back to the layer, it is still what is zero."""
    net = Net()
    value = net.dense("one", net.x)
    with net.at("gate", line=4):
        shift = net.constant(-1e3 if dead else 0)
        value = net.do("Relu", net.do("AddV2", value, shift))
    open_ = net.do("Cast", net.do("Greater", value, net.constant(1e3)))
    found = net.ask(net.loss_of(net.do("Mul", value, open_))).find()
    cause = (diagnoses.ZERO, ("Relu", 4))
    assert found == dict.fromkeys(("one/w", "one/b") if dead else (), cause)


@pytest.mark.parametrize("rest", ["unused", "rounded"])
def test_the_part_of_an_output_that_the_loss_leaves_out(rest):
    """What takes the other part is named, or what cuts this one off."""
    net = Net()
    both = net.do("Pack", net.dense("one", net.x), net.dense("two", net.x))
    both = net.do("Identity", both)
    with net.at(line=8):
        value = net.do("GetItem", both, net.constant(1))
    if rest == "rounded":
        with net.at(line=9):
            other = net.do("GetItem", both, net.constant(0))
            value = net.do("AddV2", value, net.do("Round", other))
    found = net.ask(net.loss_of(value)).find()
    place = ("GetItem", 8) if rest == "unused" else ("Round", 9)
    assert found == dict.fromkeys(("one/w", "one/b"), (diagnoses.ZERO, place))


def test_a_loop_that_no_step_of_counts():
    closed = np.zeros((4, 1))
    found = rolled(closed, 3)
    assert found["kernel"] == (diagnoses.NO_STEP, ("SelectV2", 5))
    # A single choice is a mask.
    found = rolled(closed, 1)
    assert found["kernel"] == (diagnoses.MASKED, ("SelectV2", 5))
    assert rolled(np.ones((4, 1)), 3) == {}


def test_choices_that_another_batch_may_not_make():
    def chosen(condition):
        def choose(net, value):
            other = net.constant(np.ones((4, 3)))
            return net.do("SelectV2", condition(net, value), value, other)

        return between(choose).find().get("one/w")

    def learned(net, value):
        return net.do("Greater", value, net.constant(1e9))

    assert chosen(learned) is None
    assert chosen(lambda net, v: net.changeable(0))[0] is diagnoses.ZERO
    never = chosen(lambda net, v: net.constant(0))
    assert never == (diagnoses.TIMES_ZERO, ("SelectV2", 5))


def test_one_way_that_another_batch_may_open_is_enough():
    def two_ways(closed):
        def split(net, value):
            dead = net.do("Relu", minus(net, value, 1e6))
            if closed:
                return dead
            gate = net.do("Cast", net.do("Greater", value, net.constant(1e9)))
            return net.do("AddV2", dead, net.do("Mul", value, gate))

        return between(split).find()

    assert "one/w" in two_ways(closed=True)
    assert "one/w" not in two_ways(closed=False)


def test_a_way_that_is_closed_further_on_does_not_count():
    def labels(net, value):
        dead = net.do("Relu", minus(net, value, 1e6))
        open_way = net.do("Tanh", dead)
        weight = net.data("sample_weight", np.zeros((4, 1)))
        closed = net.do("Mul", net.do("Tanh", dead), weight)
        return net.do("AddV2", open_way, closed)

    # What comes back to the dead layer comes back in vain.
    assert between(labels).find()["one/w"] == (
        diagnoses.SATURATED,
        ("Relu", 5),
    )


def test_what_may_end_says_more_than_what_stays():
    def split(net, value):
        dead = net.do("Relu", minus(net, value, 1e6))
        weight = net.data("sample_weight", np.zeros((4, 1)))
        return net.do("AddV2", dead, net.do("Mul", value, weight))

    assert between(split).find()["one/w"] == (diagnoses.MASKED, ("Mul", 5))


def test_what_rounds_is_a_cut_even_where_zeros_come_back():
    def rounded(net, value):
        return net.do("round", value, differentiable=False)

    found = between(rounded).find()
    assert found["one/w"] == (diagnoses.CUT, ("round", 5))


def test_what_was_filled_in_with_zeros():
    def rounded(net, value):
        with net.at(conditional=True):
            return net.do("Round", value)

    found = between(rounded).find()
    assert found["one/w"] == (diagnoses.CUT_IN_BRANCH, ("Round", 5))


def test_comparisons_beside_a_dead_way_are_no_cut():
    def masked(net, value):
        mask = net.do("Cast", net.do("Greater", value, net.constant(0)))
        dead = net.do("Relu", minus(net, value, 1e6))
        return net.do("AddV2", dead, mask)

    found = between(masked).find()
    assert found["one/w"] == (diagnoses.SATURATED, ("Relu", 5))


def test_a_branch_that_is_a_constant():
    net = Net()
    net.dense("one", net.x)
    with net.at(line=41, conditional=True):
        value = net.do("Identity", net.constant(1.0))
    found = net.ask(net.do("Mean", value)).find()
    expected = diagnoses.CUT_IN_BRANCH, ("Identity", 41)
    assert found == {"one/w": expected, "one/b": expected}


def test_the_choice_itself_is_named():
    net = Net()
    value = net.dense("one", net.x)
    condition = net.do("Greater", value, net.constant(0))
    with net.at(line=41, conditional=True):
        constant = net.do("Identity", net.constant(1.0))
    with net.at(line=42):
        chosen = net.do("If", condition, constant)
    with net.at(line=43):
        loss = net.do("Mean", chosen)
    found = net.ask(loss).find()
    assert found["one/w"] == (diagnoses.CUT_IN_BRANCH, ("If", 42))


def test_what_another_branch_may_use():
    net = Net()
    net.variable("unused", 1.0)
    aside = net.dense("two", net.x)
    net.do("Mean", aside)
    found = net.ask(net.loss_of(net.dense("one", net.x))).find()
    assert found == {}


def test_the_derivative_of_a_relu():
    # A slope is fitted, which a bias changes where a unit opens or closes.
    net = Net()
    w = net.variable("w", net.numbers(3, 3))
    b = net.variable("b", np.zeros(3))
    with net.at("gate", line=5):
        features = net.do("AddV2", net.do("MatMul", net.x, w), b)
        value = net.do("Relu", features)
    net.differentiate(value, [])
    opened = net.do("ReluGrad", net.constant(np.ones((4, 3))), features)
    slope = net.do("MatMul", opened, w)
    found = net.ask(net.loss_of(slope)).find()
    assert found == {"b": (diagnoses.SECOND_DERIVATIVE, ("Relu", 5))}


def test_the_second_derivative_of_a_relu():
    net = Net()
    w = net.variable("w", net.numbers(3, 3))
    with net.at("gate", line=5):
        features = net.do("MatMul", net.x, w)
        value = net.do("Relu", features)
    net.differentiate(value, [])
    nothing = net.do("ZerosLike", features)
    curvature = net.do("MatMul", nothing, w)
    found = net.ask(net.loss_of(curvature)).find()
    assert found == {"w": (diagnoses.SECOND_DERIVATIVE, ("Relu", 5))}


def test_what_only_enters_what_is_differentiated():
    net = Net()
    w = net.variable("w", net.numbers(3, 3))
    b = net.variable("b", np.zeros(3))
    with net.at("gate", line=5):
        value = net.do("AddV2", net.do("MatMul", net.x, w), b)
    net.differentiate(value, [])
    slope = net.do("Identity", w)
    found = net.ask(net.loss_of(slope)).find()
    expected = diagnoses.DERIVATIVE_ONLY, ("gradient", 99), ("AddV2", 5)
    assert found == {"b": expected}


def test_a_shape_is_no_cut_where_there_is_a_derivative():
    net = Net()
    w = net.variable("w", net.numbers(3, 3))
    b = net.variable("b", np.zeros(3))
    value = net.do("AddV2", net.do("MatMul", net.x, w), b)
    shape = net.do("Shape", value)

    def find():
        shaped = net.do("Reshape", net.do("MatMul", net.x, w), shape)
        return net.ask(net.loss_of(shaped)).find()["b"][0]

    assert find() is diagnoses.CUT
    net.differentiate(value, [])
    assert find() is diagnoses.DERIVATIVE_ONLY


def test_gradients_of_another_call_are_no_matter():
    # A variable that two losses reach is as zero as in both of them.
    net = Net()
    value = net.dense("one", net.x)
    with net.at("gate", line=5):
        dead = net.do("Relu", minus(net, value, 1e6))
    net.differentiate(net.loss_of(dead), ["one/w"])
    replay = net.replay()
    assert zeros.find_causes(replay, ["one/w"], LAYERS)
    gate = net.do("Cast", net.do("Greater", value, net.constant(1e9)))
    net.differentiate(net.loss_of(net.do("Mul", value, gate)), ["one/w"])
    assert zeros.find_causes(net.replay(), ["one/w"], LAYERS) == {}


def test_a_call_that_asks_about_others_is_no_matter():
    net = Net()
    value = net.dense("one", net.x)
    gate = net.do("Cast", net.do("Greater", value, net.constant(1e9)))
    other = net.dense("two", net.do("Mul", value, gate))
    net.differentiate(net.loss_of(other), ["two/b"])
    with net.at("gate", line=5):
        dead = net.do("Relu", minus(net, value, 1e6))
    net.differentiate(net.loss_of(dead), ["one/w"])
    found = zeros.find_causes(net.replay(), ["one/w"], LAYERS)
    assert found["one/w"].diagnosis is diagnoses.SATURATED


def test_a_cut_is_told_of_those_behind_it():
    net = Net()
    with net.at("gate", line=5):
        hard = net.do("round", net.dense("one", net.x), differentiable=False)
    value = net.dense("two", net.x)
    gate = net.do("Cast", net.do("Greater", value, net.constant(1e9)))
    total = net.do("AddV2", hard, net.do("Mul", value, gate))
    found = net.ask(net.loss_of(total)).find()
    cut = diagnoses.CUT, ("round", 5)
    assert found == {"one/w": cut, "one/b": cut}


def test_a_loss_of_nothing_is_named_where_it_ends():
    net = Net()
    net.dense("one", net.x)
    with net.at(line=41):
        loss = net.do("Mean", net.do("Identity", net.constant(1.0)))
    found = net.ask(loss).find()
    assert found["one/w"] == (diagnoses.CUT_IN_BRANCH, ("Mean", 41))


def test_numbers_that_were_not_read_prove_nothing():
    net = between(lambda net, v: net.do("Relu", minus(net, v, 1e6)))
    replay = net.replay()
    (dead,) = (o for o in replay.operations if o.kind == "Relu")
    derivative = replay.derivatives[0]
    above = derivative.gradients[dead.outputs[0]]
    unread = dataclasses.replace(above, size=None)
    gradients = {**derivative.gradients, dead.outputs[0]: unread}
    derivative = dataclasses.replace(derivative, gradients=gradients)
    replay = dataclasses.replace(replay, derivatives=(derivative,))
    found = zeros.find_causes(replay, ["one/w"], LAYERS)
    assert found["one/w"].diagnosis is diagnoses.ZERO


def test_of_a_loop_with_two_choices_the_first_is_told():
    step = Step()
    w = step.variable("w", np.ones(3))
    closed = step.data("x", np.zeros(3))
    for line in (5, 6, 5, 6):
        with step.at(line=line):
            step.do("SelectV2", closed, w, step.constant(np.ones(3)))
    ends = [
        End(operation, diagnoses.MASKED, chosen=True)
        for operation in step.replay().operations
    ]
    for turn in (ends, ends[1:]):
        cause = zeros._choose(turn, True, Locator({}))
        assert cause.diagnosis is diagnoses.NO_STEP
        assert [p.line for p in cause.places] == [6 if turn is not ends else 5]
    # Each choice once is no loop.
    cause = zeros._choose(ends[:2], True, Locator({}))
    assert cause.diagnosis is diagnoses.MASKED
