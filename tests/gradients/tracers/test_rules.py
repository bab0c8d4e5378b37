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
def rules():
    return tracers.load("rules").Rules()


def equation_of(jax, function, *inputs):
    return jax.make_jaxpr(function)(*map(np.float32, inputs)).jaxpr.eqns[-1]


def pull_of(rules, equation, present=(0,)):
    return rules.pull(equation, rules.signature(equation), present)


def test_what_gradients_come_back_to(jax, rules):
    divide = equation_of(jax, jax.lax.div, [6.0], [2.0])
    pull = pull_of(rules, divide)
    assert pull.places == (0, 1)
    gradients = pull.function(np.float32([[6], [2]]), [np.float32([10])])
    np.testing.assert_allclose(gradients, [[5], [-15]])
    choose = equation_of(
        jax, lambda a, b: jax.lax.select_n(a > b, a, b), [1.0], [2.0]
    )
    assert pull_of(rules, choose).places == (1, 2)


@pytest.mark.parametrize(
    "name, differentiable",
    [
        ("round", False),
        ("floor", False),
        ("ceil", False),
        ("sign", False),
        ("stop_gradient", False),
        ("sin", True),
        ("abs", True),
    ],
)
def test_kinds_without_a_gradient(jax, rules, name, differentiable):
    equation = equation_of(jax, getattr(jax.lax, name), [1.5])
    assert rules.is_differentiable(equation) == differentiable
    assert pull_of(rules, equation).places == (0,) * differentiable


def test_integers_have_no_gradient(jax, rules):
    for function in (
        lambda x: jax.lax.argmax(x, 0, "int32"),
        lambda x: x > 0,
        lambda x: x.astype("int32"),
    ):
        equation = equation_of(jax, function, [1.5, 2.5])
        assert not rules.is_differentiable(equation)
        assert pull_of(rules, equation, ()).places == ()
    # Nothing has got lost here that had not been lost before.
    equation = equation_of(jax, lambda x: x.astype("int32") * 2, [1.5])
    assert rules.is_differentiable(equation)


def test_a_factor_of_zero_is_no_missing_gradient(jax, rules):
    equation = equation_of(jax, lambda x: x * 0.0, [1.5])
    assert pull_of(rules, equation).places == (0, 1)


@pytest.mark.parametrize(
    "backward, comes_back",
    [
        (lambda kept, gradient: (0 * gradient,), True),
        (lambda kept, gradient: (kept,), True),
        (lambda kept, gradient: (kept - kept + 1,), True),
        (lambda kept, gradient: (3 * np.ones((2,), "float32"),), True),
        (lambda kept, gradient: (np.zeros((2,), "float32"),), False),
        (lambda kept, gradient: (keras.ops.zeros_like(gradient),), False),
    ],
)
def test_gradients_of_functions_that_have_their_own(
    jax, rules, backward, comes_back
):
    """Only a zero that depends on nothing says that there is none."""

    @jax.custom_vjp
    def function(x):
        return x * 2

    function.defvjp(lambda x: (x * 2, x), backward)
    equation = equation_of(jax, function, [1.0, 2.0])
    assert rules.is_differentiable(equation) == comes_back
    assert pull_of(rules, equation).places == (0,) * comes_back


def test_only_the_results_that_gradients_come_from_are_differentiated(
    jax, rules
):
    """The gradient of eigenvectors is not finite here, that of values is."""
    equation = equation_of(jax, jax.lax.linalg.eigh, np.eye(2))
    values = [
        place
        for place, atom in enumerate(equation.outvars)
        if atom.aval.ndim == 1
    ]
    pull = pull_of(rules, equation, tuple(values))
    (gradient,) = pull.function(
        [np.eye(2, dtype="float32")], [np.ones(2, "float32")]
    )
    assert np.isfinite(gradient).all()


def test_what_jax_cannot_differentiate_has_no_gradient(jax, rules):
    shape = jax.ShapeDtypeStruct((2,), "float32")
    equation = equation_of(
        jax, lambda x: jax.pure_callback(np.sort, shape, x), [1.0, 2.0]
    )
    assert not rules.is_differentiable(equation)
    assert pull_of(rules, equation).places == ()


def test_what_jax_can_differentiate_by_one_input_only(jax, rules):
    @jax.custom_jvp
    def function(x, y):
        return x * y

    @function.defjvp
    def rule(primals, tangents):
        x, y = primals
        if "Zero" not in type(tangents[1]).__name__:
            raise NotImplementedError("no")
        return x * y, tangents[0] * y

    function.defjvp(rule, symbolic_zeros=True)
    equation = equation_of(jax, function, [1.0], [3.0])
    pull = pull_of(rules, equation)
    assert pull.places == (0,)
    gradients = pull.function(np.float32([[1], [3]]), [np.float32([2])])
    np.testing.assert_array_equal(gradients, [[6]])


def test_equations_that_do_the_same(jax, rules):
    def function(x):
        y = jax.lax.reduce_sum(x, (0,)), jax.lax.reduce_sum(x + 1, (0,))
        return *y, jax.lax.reduce_sum(x, (1,)), jax.nn.relu(x), jax.nn.relu(x)

    equations = jax.make_jaxpr(function)(np.ones((2, 2), "float32")).jaxpr.eqns
    first, _, second, other, relu, same = map(rules.signature, equations)
    assert first == second
    assert first != other
    # What they hold need not be the same.
    assert relu != same


def test_what_draws_random_numbers_varies(jax):
    varies = tracers.load("rules").varies
    key = jax.random.key(0)
    jaxpr = jax.make_jaxpr(
        lambda key: jax.random.bits(key, (2,), "uint32") + 1
    )(key)
    names = {}

    def note(jaxpr):
        for equation in jaxpr.eqns:
            names[equation.primitive.name] = varies(equation)
            if "jaxpr" in equation.params:
                note(equation.params["jaxpr"].jaxpr)

    note(jaxpr.jaxpr)
    assert names["random_bits"]
    assert not names["add"]
