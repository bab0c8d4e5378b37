import keras
import pytest

from keras_perceptual.gradients import tracers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def module():
    module = tracers.load("compilation")
    module._options.cache_clear()
    yield module
    module._options.cache_clear()


@pytest.fixture
def allow(monkeypatch):
    """Has JAX know some options and no others."""
    import jax

    jit = jax.jit

    def allow(known):
        def jit_of_another_version(function, compiler_options=None):
            if not set(compiler_options or ()) <= set(known):
                raise ValueError("no such option")
            return jit(function, compiler_options=compiler_options or None)

        monkeypatch.setattr(jax, "jit", jit_of_another_version)

    return allow


def test_all_options_are_known_today(module):
    assert module._options() == module._FAST


@pytest.mark.parametrize("known", [[], ["xla_backend_optimization_level"]])
def test_an_option_that_jax_does_not_know(module, allow, known):
    """It saves time, no more, and the others save theirs."""
    allow(known)
    assert float(module.compile_fast(lambda x: x + 1)(1.0)) == 2
    assert list(module._options()) == known
