import keras
from toy_steps import frame

from keras_perceptual.gradients.cuts import (
    Choices,
    Ends,
    Locator,
    Reach,
    find_ends,
)
from keras_perceptual.gradients.replay import Operation

LAYERS = {"layer": keras.layers.Layer(name="layer")}
WITHOUT = ("ArgMax", "OneHot", "StopGradient", "Greater")


def operation(kind, inputs, outputs, **arguments):
    return Operation(
        kind,
        tuple(inputs),
        tuple(outputs),
        differentiable=kind not in WITHOUT,
        **arguments,
    )


def ends_of(operations, arrives, variables="w"):
    return find_ends(operations, list(variables), set(arrives))


def test_an_end_is_where_something_comes_back_and_nothing_goes_on():
    closed = operation("IdentityN", "w", "a")
    operations = (closed, operation("Mul", "ax", "l"))
    assert ends_of(operations, "la") == Ends({(closed, 0): 1}, {})
    # One that nothing comes back to is none.
    assert ends_of(operations, "x") == Ends({}, {})


def test_the_cut_comes_before_the_end():
    choice = operation("ArgMax", "w", "a")
    operations = (
        choice,
        operation("OneHot", "a", "b"),
        operation("Cast", "b", "c"),
        operation("Mul", "cx", "l"),
    )
    # Wherever the last integers are.
    for arrives in ("l", "lc", "lcb"):
        assert ends_of(operations, arrives) == Ends({}, {choice: 1})


def test_what_lies_on_a_way_around_itself_is_no_cut():
    # The largest number of a softmax, taken out and put back.
    stop = operation("StopGradient", "w", "m")
    choice = operation("ArgMax", "s", "a")
    operations = (
        stop,
        operation("Sub", "wm", "s"),
        choice,
        operation("Cast", "a", "c"),
        operation("Mul", "cx", "l"),
    )
    assert ends_of(operations, "lc") == Ends({}, {choice: 1})


def test_what_lies_behind_a_value_with_a_gradient_is_no_end():
    first = operation("IdentityN", "w", "a")
    second = operation("IdentityN", "a", "b")
    operations = (
        first,
        second,
        operation("Mul", "ab", "l"),
    )
    assert ends_of(operations, "la") == Ends({(first, 0): 1}, {})


def test_each_variable_has_its_own_cuts():
    first = operation("ArgMax", "w", "a")
    second = operation("StopGradient", "b", "c")
    operations = (
        first,
        operation("Cast", "a", "d"),
        operation("Mul", "dv", "b"),
        second,
        operation("Mul", "cx", "l"),
    )
    ends = ends_of(operations, "l", "wv")
    assert ends == Ends({}, {first: 1, second: 2})
    positions = {o: i for i, o in enumerate(operations)}
    assert ends.by_operation(positions) == [(first, 1), (second, 2)]
    # Where the second stops what comes back, it is a direct end.
    ends = ends_of(operations, "lc", "wv")
    assert ends == Ends({(second, 0): 2}, {first: 1})
    assert ends.by_operation(positions) == [(first, 1), (second, 2)]


def test_a_condition_is_no_cut():
    rounded = operation("ArgMax", "w", "b", conditional=True)
    operations = (
        operation("Greater", "w", "c"),
        rounded,
        operation("If", "cb", "d"),
        operation("Mul", "dx", "l"),
    )
    assert ends_of(operations, "ld") == Ends({}, {rounded: 1})


def choices_of(*operations):
    return Choices(operations, Reach.of(operations, ["w", "v"]))


def test_what_another_branch_lets_through():
    first = operation("Mul", "w", "a")
    rounded = operation(
        "ArgMax", "a", "b", conditional=True, alternatives=frozenset("av")
    )
    closed = operation(
        "ArgMax", "a", "c", conditional=True, alternatives=frozenset()
    )
    chosen = operation("If", "cb", "d")
    choices = choices_of(first, rounded, closed, chosen)
    assert choices.may_open(rounded, 1) and choices.may_open(rounded, 2)
    assert not choices.may_open(closed, 1)
    assert choices.may_reach(1) and choices.may_reach(2)
    choices = choices_of(first, closed, chosen)
    assert not choices.may_reach(1) and not choices.may_reach(2)


def test_where_nobody_looked_into_the_other_branch():
    closed = operation("ArgMax", "w", "c", conditional=True)
    assert choices_of(closed).may_open(closed, 1)
    assert choices_of(closed).may_reach(2)
    plain = operation("ArgMax", "w", "c")
    assert not choices_of(plain).may_open(plain, 1)
    assert not choices_of(plain).may_reach(1)
    # Where it is known of another one, that changes nothing.
    known = operation("If", "cw", "d", alternatives=frozenset())
    assert choices_of(closed, known).may_open(closed, 1)


def test_the_last_in_a_layer_or_a_line():
    inside = operation("A", "", "", scope=("layer",))
    written = operation("B", "", "", frames=(frame(3),))
    nowhere = operation("C", "", "")
    locator = Locator(LAYERS)
    (place,) = locator.locate_last([inside, written, nowhere])
    assert (place.operation, place.line) == ("B", 3)
    (place,) = locator.locate_last([written, inside, nowhere])
    assert (place.operation, place.layer) == ("A", "layer")
    assert locator.locate_last([nowhere]) == ()


def located(*operations):
    return [p.operation for p in Locator({}).locate_cuts(operations)]


def test_what_is_to_blame_comes_first():
    compared = operation("Greater", "", "", frames=(frame(1),))
    chosen = operation("ArgMax", "", "", frames=(frame(2),))
    rounded = operation("Round", "", "", frames=(frame(3),))
    shape = operation("Shape", "", "", frames=(frame(4),))
    assert located(compared, chosen, shape, rounded) == [
        "ArgMax",
        "Round",
        "Greater",
    ]
    # What looks at a shape is named where there is nothing else.
    assert located(shape) == ["Shape"]


def test_a_function_made_of_several_operations_is_named_once():
    def inside(kind, line):
        frames = (
            frame(line),
            frame(1, "argmax", keras.__path__[0] + "/src/ops/numpy.py"),
        )
        return operation(kind, "", "", frames=frames)

    parts = inside("Bitcast", 5), inside("ArgMax", 5)
    (place,) = Locator({}).locate_cuts(parts)
    assert place.function == "keras.ops.argmax"
    assert place.operation == "ArgMax"
    # In another line it is another call.
    assert located(*parts, inside("ArgMax", 6)) == ["ArgMax", "ArgMax"]
