import checks
import keras
import numpy as np
import pytest

from keras_perceptual import _backend


@pytest.fixture
def matrices(rng):
    return [rng.uniform(-1, 1, (3, 4)).astype("float32") for _ in range(2)]


def apply(matrices, x):
    """Multiplies by two matrices: one tensor in, two out."""
    linear_maps = _backend.load("linear_maps")
    first, second = (keras.ops.convert_to_tensor(m) for m in matrices)

    def forward(x):
        return keras.ops.matmul(first, x), keras.ops.matmul(second, x)

    def transpose(y, z):
        first_back = keras.ops.matmul(keras.ops.transpose(first), y)
        second_back = keras.ops.matmul(keras.ops.transpose(second), z)
        return (first_back + second_back,)

    return linear_maps.apply_linear(forward, transpose, x)


def test_value(rng, matrices):
    x = rng.uniform(-1, 1, (4, 2)).astype("float32")
    found = apply(matrices, keras.ops.convert_to_tensor(x))
    assert isinstance(found, tuple)
    for y, matrix in zip(found, matrices, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(y), matrix @ x, rtol=1e-5, atol=1e-6
        )


def test_gradient(rng, matrices):
    x = rng.uniform(-1, 1, (4, 2)).astype("float32")

    def energy(x):
        y, z = apply(matrices, x)
        return keras.ops.sum(y * y) + keras.ops.sum(z * z * z)

    (found,) = checks.gradients(energy, x)
    first, second = matrices
    expected = first.T @ (2 * first @ x) + second.T @ (3 * (second @ x) ** 2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_gradient_where_one_result_is_not_used(rng, matrices):
    x = rng.uniform(-1, 1, (4, 2)).astype("float32")
    (found,) = checks.gradients(
        lambda x: keras.ops.sum(apply(matrices, x)[1]), x
    )
    expected = matrices[1].T @ np.ones((3, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_gradients_on_pytorch(matrices):
    """By finite differences, and through the transforms of `torch.func`."""
    if keras.backend.backend() != "torch":
        pytest.skip("is about PyTorch")
    torch = pytest.importorskip("torch")
    a, b = (torch.tensor(m, dtype=torch.float64) for m in matrices)

    def energy(x):
        y, z = _backend.load("linear_maps").apply_linear(
            lambda x: (a @ x, b @ x), lambda y, z: (a.T @ y + b.T @ z,), x
        )
        return (y**2).sum() + (z**3).sum()

    x = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(energy, x)
    assert torch.autograd.gradgradcheck(energy, x)
    (expected,) = torch.autograd.grad(energy(x), x)
    x = x.detach()
    found = torch.func.grad(energy)(x)
    np.testing.assert_allclose(found, expected)
    several = torch.func.vmap(torch.func.grad(energy))(torch.stack([x, x]))
    np.testing.assert_allclose(several[1], expected)
