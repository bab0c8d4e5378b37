from keras_perceptual.gradients.dataflow import (
    Dataflow,
    Derivative,
    Operation,
    find_cuts,
    follow,
    follow_all,
    makers_of,
    needed_for,
    users_of,
)

# Variable w is read, squared and rounded; the loss adds both to the data.
READ = Operation("Read", ("w",), ("a",))
SQUARE = Operation("Square", ("a",), ("b",))
ROUND = Operation("Round", ("a",), ("c",))
ADD = Operation("Add", ("b", "data"), ("loss",))
METRIC = Operation("Mean", ("c",), ("metric",))


def flow(*operations, targets=("loss",)):
    return Dataflow(
        operations=operations,
        holders={"w": 1, "v": 2},
        derivatives=(Derivative(targets, frozenset([1])),),
        passes=lambda operation, place, output: operation.kind != "Round",
    )


def test_only_what_the_loss_needs():
    step = flow(READ, SQUARE, ROUND, ADD, METRIC)
    assert needed_for(step, {"loss"}) == [READ, SQUARE, ADD]
    assert needed_for(step, {"metric"}) == [READ, ROUND, METRIC]
    assert needed_for(step, {"data"}) == []


def test_follows_values_to_where_the_way_ends():
    step = flow(READ, SQUARE, ROUND, ADD, METRIC)
    connected = follow(step, step.operations, {"w"})
    assert connected == {"w", "a", "b", "loss"}


def test_several_at_once_are_told_apart():
    multiply = Operation("Mul", ("b", "v"), ("loss",))
    step = flow(READ, SQUARE, multiply)
    found = follow_all(step, step.operations, [{"w"}, {"v"}, {"data"}])
    assert found == {"w": 1, "a": 1, "b": 1, "v": 2, "loss": 3, "data": 4}


def test_what_is_bypassed_does_not_cut():
    # As in a softmax: the largest number is taken off, without a gradient.
    largest = Operation("Round", ("a",), ("m",))
    take_off = Operation("Sub", ("a", "m"), ("b",))
    choose = Operation("Round", ("b",), ("loss",))
    operations = [READ, largest, take_off, choose]
    connected = follow(flow(*operations), operations, {"w"})
    assert connected == {"w", "a", "b"}
    cuts = find_cuts(makers_of(operations), connected.__contains__, {"loss"})
    assert cuts == [choose]


def test_one_open_output_keeps_the_way_open():
    split = Operation("Split", ("w",), ("a", "b"))
    step = Dataflow(
        (split,), {"w": 1}, (), lambda operation, place, output: output == 1
    )
    assert follow(step, step.operations, {"w"}) == {"w", "b"}


def test_variables_and_their_targets():
    step = flow(READ)
    assert step.values_of(1) == {"w"}
    assert step.targets_for(1) == {"loss"}
    assert step.targets_for(2) == set()
    assert users_of([READ, SQUARE, ROUND], {"a"}) == [SQUARE, ROUND]
