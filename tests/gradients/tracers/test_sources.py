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
def sources():
    return tracers.load("sources")


def equations(jax, function, *inputs):
    return jax.make_jaxpr(function)(*inputs).jaxpr.eqns


def test_names_of_scopes_are_without_what_was_done_to_them(jax, sources):
    def loss(x):
        with jax.named_scope("outer"), jax.named_scope("inner_1"):
            return jax.numpy.sin(x)

    def function(x):
        return loss(x), jax.vmap(jax.grad(loss))(x[None])

    found = [
        (equation.primitive.name, sources.scope_of(equation))
        for equation in equations(jax, function, np.float32(1))
    ]
    assert ("sin", ("outer", "inner_1")) in found
    assert ("cos", ("outer", "inner_1")) in found
    assert ("broadcast_in_dim", ()) in found


def test_frames_end_at_the_step(jax, sources):
    def helper(x):
        return jax.lax.sin(x)

    def step(x):
        return helper(x)

    def the_step_itself(x):
        return step(x)

    (equation,) = equations(jax, the_step_itself, np.float32(1))
    frames = sources.frames_of(equation, called=False)
    own = [frame for frame in frames if frame.filename == __file__]
    assert [frame.name for frame in own] == ["step", "helper"]
    assert frames[0] is own[0]
    assert own[-1].line == "return jax.lax.sin(x)"


def test_those_who_listen_are_left_out(jax, sources):
    from keras_perceptual.gradients.patches import intercepted

    class Owner:
        def call(self, x):
            return jax.lax.sin(x)

    def the_step_itself(x):
        return Owner().call(x)

    with intercepted(Owner, "call", lambda original, *args: original(*args)):
        (equation,) = equations(jax, the_step_itself, np.float32(1))
    files = {f.filename for f in sources.frames_of(equation, called=False)}
    assert __file__ in files
    assert not any("keras_perceptual/gradients" in name for name in files)


def test_an_equation_that_says_nothing(sources):
    """Where an equation comes from is for messages only."""
    assert sources.scope_of(object()) == ()
    assert sources.frames_of(object(), called=True) == ()
