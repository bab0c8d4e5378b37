import numpy as np
from toy_steps import Step

from keras_perceptual.gradients.nonfinite_values import Values


def trace(step, value, what="nonfinite"):
    values = Values(step.replay())
    found = getattr(values, f"trace_{what}")([value.key])
    return [o.kind for o in found.operations], list(found.sources)


def ones(step, name="x"):
    return step.data(name, np.ones((2, 3)))


def test_the_operation_that_makes_it():
    step = Step()
    x = ones(step)
    blank = step.do("Sub", x, x)
    infinite = step.do("Log", blank)
    loss = step.do("Mean", step.do("Square", infinite))
    assert trace(step, loss) == (["Log"], [])
    # What is finite comes from nowhere.
    assert trace(step, x) == ([], [])
    assert not Values(step.replay()).trace_nonfinite([x.key])


def test_infinity_comes_before_nan():
    step = Step()
    x = ones(step)
    negative = step.do("Sub", x, step.constant(2.0))
    nan = step.do("Sqrt", negative)
    infinite = step.do("Log", step.do("Sub", x, x))
    loss = step.do("Mean", step.do("AddV2", nan, infinite))
    assert trace(step, loss) == (["Log", "Sqrt"], [])
    # NaN that is made of infinity is no news.
    ratio = step.do("RealDiv", infinite, infinite)
    assert trace(step, ratio) == (["Log"], [])


def test_in_the_order_of_the_operations():
    step = Step()
    x = ones(step)
    first = step.do("Log", step.do("Sub", x, x))
    second = step.do("RealDiv", x, step.do("Sub", x, x))
    for pair in ((first, second), (second, first)):
        assert trace(step, step.do("AddV2", *pair)) == (["Log", "RealDiv"], [])


def test_what_came_in():
    step = Step()
    x = step.data("x", np.full((2, 3), np.nan))
    w = step.variable("w", np.inf)
    loss = step.do("Mean", step.do("Mul", x, w))
    operations, sources = trace(step, loss)
    assert operations == []
    assert set(sources) == {x.key, w.key}


def test_what_is_masked_does_not_count():
    step = Step()
    y = step.data("y", np.full((2, 3), np.nan))
    filled = step.do("SelectV2", step.constant(0), y, ones(step))
    loss = step.do("Log", step.do("Sub", filled, filled))
    assert trace(step, loss) == (["Log"], [])


def attention(step, kept):
    scores = ones(step)
    return step.do(
        "SelectV2", step.constant(kept), scores, step.constant(-np.inf)
    )


def test_a_mask_of_infinity_is_meant():
    step = Step()
    weights = step.do("Softmax", attention(step, [1, 1, 0]))
    assert trace(step, weights) == ([], [])
    # Where everything is masked, the softmax has nothing to go by.
    weights = step.do("Softmax", attention(step, [0, 0, 0]))
    loss = step.do("Mean", weights)
    assert trace(step, loss) == (["Softmax"], [])


def test_a_softmax_that_is_written_out():
    step = Step()
    scores = attention(step, [0, 0, 0])
    shifted = step.do("Sub", scores, step.do("RowMean", scores))
    assert trace(step, step.do("Exp", shifted)) == (["SelectV2"], [])
    step = Step()
    scores = attention(step, [0, 0, 0])
    ratio = step.do("RealDiv", scores, scores)
    assert trace(step, ratio) == (["RealDiv"], [])


def test_infinity_where_nobody_expects_it():
    # The largest of no numbers, multiplied by weights.
    step = Step()
    largest = step.do("Identity", attention(step, [1, 0, 0]))
    product = step.do("MatMul", largest, step.variable("w", np.eye(3)))
    assert np.isnan(product.array).any()
    assert trace(step, step.do("Mean", product)) == (["SelectV2"], [])
    # It may reach the loss as it is.
    assert trace(step, step.do("Mean", largest)) == (["SelectV2"], [])


def test_constants_are_not_where_infinity_goes_in():
    step = Step()
    filler = step.do("Identity", step.constant(-np.inf))
    mixed = step.do("SelectV2", step.constant([1, 0, 0]), ones(step), filler)
    assert trace(step, step.do("Mean", mixed)) == (["SelectV2"], [])


def test_where_numbers_grew():
    step = Step()
    large = step.do("Mul", ones(step), step.constant(1e10))
    product = step.do("Mul", large, large)
    assert trace(step, step.do("Mul", product, product), "huge") == (
        ["Mul"],
        [],
    )
    w = step.variable("w", 1e20)
    assert trace(step, step.do("Mul", ones(step), w), "huge") == ([], [w.key])
    assert trace(step, large, "huge") == ([], [])


def test_what_is_known_of_values():
    step = Step()
    w = step.variable("w", 1e20)
    bound = step.constant(9e14)
    values = Values(step.replay())
    assert values.is_huge(w.key) and not values.is_huge(bound.key)
    assert values.is_constant(bound.key) and not values.is_constant(w.key)
    # What was not read is taken to be finite, and of any size.
    assert values.is_finite("unknown") and not values.is_huge("unknown")


def test_infinity_that_an_exponential_hides_from_a_logarithm():
    """As in the logarithm of a sum of exponentials."""
    step = Step()
    w = step.variable("w", np.ones((2, 3)))
    far = step.do("RealDiv", w, step.do("Sub", w, w))
    hidden = step.do("Exp", step.do("Sub", step.constant(0), far))
    loss = step.do("Log", step.do("Identity", hidden))
    assert trace(step, loss) == (["RealDiv"], [])
    # Of what is finite, it is the logarithm.
    small = step.do("Exp", step.data("x", np.full((2, 3), -1e9)))
    assert trace(step, step.do("Log", small)) == (["Log"], [])
