"""Gradients of single images by `vmap`, as for differential privacy."""

import keras
import numpy as np
import pytest
from small_losses import LOSSES, loss_of

import keras_perceptual as kp

if keras.backend.backend() == "tensorflow":
    pytest.skip("has no `vmap`", allow_module_level=True)
if keras.backend.backend() == "jax":
    import jax
    from jax import grad, vmap
else:
    from torch.func import grad, vmap

jax_only = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def pair(rng):
    return rng.uniform(size=(2, 3, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize("name", ["CharbonnierLoss", "SSIMLoss", "LPIPS"])
def test_equal_those_of_the_batch_and_nobody_is_warned(pair, name):
    assert name in LOSSES
    loss = loss_of(name)
    true, pred = map(keras.ops.convert_to_tensor, pair)

    def of_one(y, x):
        return loss(y[None], x[None])

    found = vmap(grad(of_one, argnums=1))(true, pred)
    if keras.backend.backend() == "jax":
        jax.effects_barrier()
    expected = 3 * np.asarray(grad(lambda x: loss(true, x))(pred))
    np.testing.assert_allclose(
        found, expected, atol=1e-5 * np.abs(expected).max()
    )


@jax_only
def test_one_image_of_another_range_is_told_of(pair):
    loss = kp.CharbonnierLoss()
    pair[0, 1] *= 255
    with pytest.warns(UserWarning, match="y_true holds values"):
        jax.vmap(lambda y, x: loss(y[None], x[None]))(*pair)
        jax.effects_barrier()


@jax_only
def test_encoded_targets(pair):
    true, pred = pair
    loss = kp.PerceptualLoss("alexnet", ["relu1"])
    encoded = loss.encode(true)

    def of_one(y, x):
        return loss(y[None], x[None])

    found = jax.vmap(of_one)(encoded, pred)
    jax.effects_barrier()
    np.testing.assert_allclose(found, loss.per_image(true, pred), rtol=1e-5)
    with pytest.raises(Exception, match="encoded targets that it did not"):
        jax.vmap(of_one)(encoded.at[1, 0].add(1), pred)
        jax.effects_barrier()
