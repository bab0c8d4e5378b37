import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def jax():
    import jax

    return jax


@pytest.fixture
def flatten(jax):
    """Returns a function that takes another one apart.

    It returns the operations, the values that come out, and the gradients by
    what goes in of the sum of them.
    """
    flattening, record, derivatives = map(
        tracers.load, ("flattening", "record", "derivatives")
    )

    def flatten(function, *inputs):
        def result(*inputs):
            return sum(
                jax.numpy.sum(x) for x in jax.tree.leaves(function(*inputs))
            )

        written = record.Record()
        where = record.Where()
        inputs = [jax.numpy.asarray(x) for x in inputs]
        keys = [written.add_value(x) for x in inputs]
        closed = jax.make_jaxpr(result)(*inputs)
        region = derivatives.enter(written, keys)
        targets = flattening.Flattening(written).read(
            closed.jaxpr, closed.consts, region.inputs, where
        )
        derivatives.leave(written, targets, where)
        found = derivatives.pull(written, region, [np.float32(1)], where)
        replay = written.finish()
        (derivative,) = replay.derivatives
        value = float(written.tape.read(targets[0]))
        assert value == pytest.approx(float(result(*inputs)), rel=1e-5)
        gradients = [
            written.tape.read(key) if inner in derivative.gradients else None
            for key, inner in zip(found, region.inputs, strict=True)
        ]
        return replay.operations[:-1], gradients, result

    return flatten


def kinds(operations):
    return [operation.kind for operation in operations]


FUNCTIONS = {
    "scan": lambda jax, x: jax.lax.scan(
        lambda c, v: (jax.numpy.tanh(c + v), c * v), 0.5, x
    ),
    "reversed scan": lambda jax, x: jax.lax.scan(
        lambda c, v: (jax.numpy.tanh(c + v), c * v), x[1], x, reverse=True
    ),
    "scan with constants": lambda jax, x: jax.lax.scan(
        lambda c, _: (jax.numpy.tanh(c + x), None), x, None, length=3
    ),
    "scan without turns": lambda jax, x: jax.lax.scan(
        lambda c, v: (c + v, c), x[0], x[:0]
    ),
    "results of turns": lambda jax, x: jax.lax.scan(
        lambda c, v: (c, jax.numpy.sin(v)), 0, x
    )[1][-1],
    "fori_loop": lambda jax, x: jax.lax.fori_loop(
        0, 3, lambda i, v: jax.numpy.sin(v) * i, x
    ),
    "map": lambda jax, x: jax.lax.map(jax.numpy.sin, x),
    "vmap of a scan": lambda jax, x: jax.vmap(
        lambda v: jax.lax.scan(lambda c, _: (c * v, c), v, None, length=2)
    )(x),
    "cond": lambda jax, x: jax.lax.cond(
        x[0] > 0, jax.numpy.sin, jax.numpy.cos, x
    ),
    "switch": lambda jax, x: jax.lax.switch(
        7, [jax.numpy.sin, jax.numpy.cos, jax.numpy.tanh], x
    ),
    "nested": lambda jax, x: jax.lax.scan(
        lambda c, v: (
            jax.lax.cond(
                c > 1, lambda c, v: c / v, jax.checkpoint(jax.jit(pow)), c, v
            ),
            None,
        ),
        x[0],
        x,
    )[0],
    "jit": lambda jax, x: jax.jit(lambda v: v * x + jax.numpy.arange(3))(x),
    "checkpoint": lambda jax, x: jax.checkpoint(jax.numpy.sin)(x) * x,
    "associative_scan": lambda jax, x: jax.lax.associative_scan(
        lambda a, b: a * b, x
    ),
    "linear algebra": lambda jax, x: jax.numpy.linalg.eigh(
        x[:, None] * x + jax.numpy.diag(x)
    )[0][1],
    "sorting": lambda jax, x: jax.lax.top_k(jax.numpy.sort(x), 2)[0] ** 2,
    "softmax": lambda jax, x: jax.nn.softmax(x)[0] + jax.nn.logsumexp(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_jax(jax, flatten, name):
    x = np.float32([1.5, 0.25, 2.5])
    _, (found,), function = flatten(lambda x: FUNCTIONS[name](jax, x), x)
    expected = jax.grad(function)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("turns", [3, 200])
def test_turns_stand_in_the_list(jax, flatten, turns, monkeypatch):
    """But for loops that are too long."""
    monkeypatch.setattr(tracers.load("flattening"), "_LONGEST", 1000)

    def function(x):
        return jax.lax.scan(
            lambda c, v: (c + jax.lax.round(v), c * jax.lax.sin(v) * 2 + v),
            0.0,
            x,
        )

    x = np.linspace(-2, 2, turns, dtype="float32")
    operations, (gradient,), function = flatten(function, x)
    found = kinds(operations)
    short = turns == 3
    assert found.count("round") == short * turns
    assert found.count("scan") == (not short)
    assert found.count("unstack") == found.count("stack") == short
    np.testing.assert_allclose(gradient, jax.grad(function)(x), rtol=1e-3)


@pytest.mark.parametrize("longest", [3, 1000])
def test_a_rounding_in_a_loop_leaves_no_gradient(
    jax, flatten, longest, monkeypatch
):
    """Also where the loop is one operation."""
    monkeypatch.setattr(tracers.load("flattening"), "_LONGEST", longest)

    def function(x):
        return jax.lax.scan(lambda c, v: (c + jax.lax.round(v), None), 0.0, x)[
            0
        ]

    operations, (gradient,), _ = flatten(function, np.float32([1, 2, 3]))
    assert gradient is None
    rounded = [o.kind for o in operations if not o.differentiable]
    assert rounded == ([] if longest == 3 else ["round"] * 3)


def test_only_the_branch_that_is_taken(jax, flatten):
    def function(x):
        return jax.lax.cond(x > 0, jax.lax.round, jax.lax.sin, x)

    operations, (gradient,), _ = flatten(function, 1.5)
    assert gradient is None
    assert [o.kind for o in operations if o.conditional] == ["round"]
    operations, (gradient,), _ = flatten(function, -1.5)
    assert gradient == pytest.approx(np.cos(1.5))
    assert [o.kind for o in operations if o.conditional] == ["sin"]


def test_what_other_branches_let_through(jax, flatten):
    def function(x):
        def inner(x):
            return jax.lax.cond(x > 2, jax.lax.cos, jax.lax.floor, x)

        return jax.lax.cond(x > 0, jax.lax.round, inner, x)

    operations, _, _ = flatten(function, 1.5)
    (rounded,) = [o for o in operations if o.conditional]
    assert rounded.alternatives == {rounded.inputs[0]}
    operations, _, _ = flatten(function, -1.5)
    (floored,) = [o for o in operations if o.kind == "floor"]
    assert floored.alternatives == {floored.inputs[0]}

    def closed(x):
        return jax.lax.cond(x > 0, jax.lax.round, jax.lax.floor, x)

    operations, _, _ = flatten(closed, 1.5)
    assert [o.alternatives for o in operations if o.conditional] == [set()]
    assert next(o.alternatives for o in operations if not o.conditional) is None


def test_while_loops_are_one_operation(jax, flatten):
    """JAX has no gradient of them, and finds fault if it needs one."""

    def function(x):
        return x + jax.lax.while_loop(
            lambda v: v < 100, lambda v: v * 2, jax.lax.stop_gradient(x)
        )

    operations, (gradient,), function = flatten(function, 1.5)
    (loop,) = [o for o in operations if o.kind == "while"]
    assert not loop.differentiable
    assert gradient == jax.grad(function)(1.5) == 1


def test_functions_with_their_own_gradient_are_one_operation(jax, flatten):
    @jax.custom_vjp
    def staircase(x):
        return jax.numpy.round(x) + 1

    staircase.defvjp(lambda x: (staircase(x), None), lambda _, g: (5 * g,))
    operations, (gradient,), _ = flatten(
        lambda x: jax.nn.relu(staircase(x)), 1.4
    )
    assert kinds(operations)[:2] == ["staircase", "relu"]
    assert all(operation.differentiable for operation in operations)
    assert gradient == 5


def test_what_is_printed_is_not_printed_again(jax, flatten, capsys):
    def function(x):
        jax.debug.print("{}", x)
        return x * 2

    jax.make_jaxpr(function)(1.0)
    operations, _, _ = flatten(function, 1.0)
    jax.effects_barrier()
    assert kinds(operations)[0] == "mul"
    # The test itself has called the function once.
    assert capsys.readouterr().out == "1.0\n"


def test_numbers_that_are_the_same_object(jax, flatten):
    """Both inputs of an operation are looked at for themselves."""
    constant = jax.numpy.float32(3)
    operations, (gradient,), _ = flatten(
        lambda x: x * x + x * constant + constant, np.float32(2)
    )
    assert gradient == 7
    product, other = (o for o in operations if o.kind == "mul")
    assert product.inputs[0] == product.inputs[1]
    (key,) = set(other.inputs) - set(product.inputs)
    total = [o for o in operations if o.kind == "add"]
    assert any(key in o.inputs for o in total)
