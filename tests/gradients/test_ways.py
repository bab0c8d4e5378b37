import keras
import pytest

from keras_perceptual.gradients import ways
from keras_perceptual.gradients.replay import Operation, Replay
from keras_perceptual.gradients.ways import Origin


def operation(kind, inputs, outputs, **arguments):
    return Operation(kind, tuple(inputs), tuple(outputs), **arguments)


def replay(*operations, holders=None, data=(), changeable=()):
    return Replay(
        operations=operations,
        holders=holders or {},
        derivatives=(),
        data=dict.fromkeys(data, "x"),
        changeable=frozenset(changeable),
    )


def test_values_of_variables():
    step = replay(holders={"a": 1, "b": 2, "c": 1})
    assert ways.values_of(step, [1, 3]) == {1: ["a", "c"], 3: []}


def test_makers_and_users():
    first = operation("Mul", "ab", "c")
    second = operation("Mul", "cc", "d")
    written = operation("add_", "c", "c")
    operations = (first, second, written)
    assert ways.makers_of(operations) == {"c": written, "d": second}
    assert ways.users_of(operations) == {
        "a": [(first, 0)],
        "b": [(first, 1)],
        "c": [(second, 0), (second, 1), (written, 0)],
    }


def test_each_beginning_has_a_bit():
    operations = (
        operation("Mul", "ab", "d"),
        operation("Mul", "ac", "e"),
        operation("Mul", "cc", "f"),
    )
    found = ways.follow(operations, ["ab", "b", "x"])
    assert found == {"a": 1, "b": 3, "x": 4, "d": 3, "e": 1}


def test_values_to_keep_out_of():
    operations = operation("Mul", "a", "b"), operation("Mul", "b", "c")
    assert ways.follow(operations, ["a", "c"], stop="b") == {"a": 1, "c": 2}
    assert ways.follow(operations, ["a"], stop="a") == {}


def test_gradients_are_carried_by_what_has_one():
    def carried(kind, inputs="a", outputs="b", **arguments):
        step = operation(kind, inputs, outputs, **arguments)
        return set(ways.follow([step], ["a"], ways.carries_gradient)) - {"a"}

    assert carried("Mul") == {"b"}
    assert carried("Round", differentiable=False) == set()
    # Some say that they have one, and have zeros.
    assert carried("zeros_like") == set()
    # The places that the largest numbers had are no numbers to go by.
    assert carried("TopKV2", outputs="bc") == {"b"}
    assert carried("Split", outputs="bc") == {"b", "c"}
    # What is sorted along with the first is sorted, no more.
    assert carried("sort", "xa", "bc") == {"b", "c"}


def test_a_condition_is_no_part_of_what_is_chosen():
    step = operation("If", "cdx", "y")
    for carries in (ways.carries_values, ways.carries_gradient):
        assert [carries(step, place, 0) for place in range(3)] == [0, 0, 1]
    assert ways.carries_values(operation("Shape", "c", "y"), 0, 0)
    replayed = replay(
        operation("Greater", "w", "c"),
        operation("If", "cx", "y"),
        holders={"w": 1},
    )
    assert ways.computed_with(replayed) == {"w", "c"}


def test_shapes_are_no_numbers():
    assert not ways.carries_numbers(operation("Shape", "a", "b"), 0, 0)
    assert ways.carries_numbers(operation("Round", "a", "b"), 0, 0)


def test_what_values_are_computed_by():
    first = operation("Mul", "a", "b")
    other = operation("Mul", "a", "c")
    last = operation("Mul", "b", "d")
    assert ways.needed_for((first, other, last), "d") == [first, last]


def test_origins():
    step = replay(
        operation("Mul", "wx", "a"),
        operation("Mul", "ak", "b"),
        operation("RandomUniform", "k", "r", varies=True),
        operation("Mul", "rs", "c"),
        operation("Shape", "a", "n"),
        operation("Mul", "nk", "d"),
        holders={"w": 1},
        data="x",
        changeable="s",
    )
    origins = ways.origins_of(step)
    assert origins["a"] == origins["b"] == Origin.HOLDER | Origin.DATA
    assert origins["r"] == Origin.VARYING
    assert origins["c"] == Origin.VARYING | Origin.CHANGEABLE
    # What only depends on shapes is a constant.
    assert origins.keys().isdisjoint("knd")


def test_what_a_variable_holds_varies_with_it_alone():
    step = replay(
        operation("ReadVariableOp", "w", "a", varies=True),
        operation("ResourceGather", "sk", "b", varies=True),
        operation("If", "xa", "c", varies=True),
        operation("Unknown", "w", "d", varies=True),
        holders={"w": 1},
        data="x",
        changeable="s",
    )
    origins = ways.origins_of(step)
    assert origins["a"] == Origin.HOLDER
    assert origins["b"] == Origin.CHANGEABLE
    assert origins["c"] == Origin.HOLDER | Origin.DATA
    assert origins["d"] == Origin.HOLDER | Origin.VARYING


def test_relus_of_values():
    first = operation("Relu", "a", "b")
    second = operation("Relu6", "b", "c")
    other = operation("Tanh", "c", "d")
    assert ways.relus_of((first, second, other)) == {
        "a": first,
        # The one that makes it comes before the one that takes it.
        "b": first,
        "c": second,
    }


@pytest.mark.parametrize(
    ("counts", "expected"),
    # Called again, a layer has a number behind its name where they count.
    [(True, ["outer", "inner", "dense_1"]), (False, ["outer", "dense_1"])],
)
def test_names_of_layers(counts, expected):
    layers = dict.fromkeys(("outer", "inner", "dense_1"), keras.layers.Layer())
    scope = ("outer", "unknown", "inner_3", "dense_1")
    found = ways.layers_around(
        operation("Mul", "", "", scope=scope, counts_scopes=counts), layers
    )
    assert list(found) == expected
