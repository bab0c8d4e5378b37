"""What JAX alone can do: calls from compiled code, exports, processes."""

import keras
import numpy as np
import pytest

from keras_perceptual import _backend
from keras_perceptual.ops.table_places import CubePlaces

if keras.backend.backend() != "jax":
    pytest.skip("is about JAX alone", allow_module_level=True)

import jax

from keras_perceptual._backend.jax import band_matrix


def test_calls_from_compiled_code():
    seen = []

    @jax.jit
    def function(x):
        _backend.call_when(
            x.max() > 1, lambda v: seen.append(v.tolist()), x, {}
        )
        return x * 2

    for top in (0.5, 2.0, 3.0):
        function(np.array([0.0, top], "float32"))
    jax.effects_barrier()
    assert seen == [[0.0, 2.0], [0.0, 3.0]]


def test_calls_for_those_of_a_mapped_batch_that_are_wrong():
    """Mapped, both branches of a condition are taken for all."""
    seen = []

    def function(x):
        _backend.call_when(x > 1, lambda v: seen.append(float(v)), x, {})
        return x * 2

    jax.vmap(function)(np.array([0.5, 2.0, 0.25], "float32"))
    jax.effects_barrier()
    assert seen == [2.0]


def test_nobody_is_called_from_an_exported_program():
    def function(x):
        _backend.call_when(x > 1, print, x, {})
        return x * 2

    exported = jax.export.export(jax.jit(function))(np.float32(1))
    assert float(exported.call(np.float32(3))) == 6
    exported.serialize()


def test_band_matrix_slides_the_window():
    window = np.array([1.0, 2.0, 4.0])
    x = np.arange(6.0) ** 2
    np.testing.assert_allclose(
        band_matrix(window, 6) @ x, np.correlate(x, window, "valid")
    )


def test_tables_are_read_in_plain_operations_for_images_of_any_size():
    """A program that is to run elsewhere knows no functions of ours."""
    (size,) = jax.export.symbolic_shape("size")

    def program(*shape):
        return str(
            jax.make_jaxpr(
                lambda colors: _backend.read_blended(
                    CubePlaces((2, 2, 2), "linear"),
                    colors,
                    np.ones((8, 3), "float32"),
                )
            )(jax.ShapeDtypeStruct(shape, "float32"))
        )

    assert "custom_vjp" in program(4, 3)
    assert "custom_vjp" not in program(size, 3)


def test_a_later_process_is_not_the_chief(monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    assert not _backend.is_chief(None)
