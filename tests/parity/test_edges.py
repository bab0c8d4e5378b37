"""Our slopes beside those of kornia, where it is installed."""

import checks
import keras
import numpy as np
import pytest

from keras_perceptual import SobelGradientLoss, ops

torch = pytest.importorskip("torch")
filters = pytest.importorskip("kornia.filters")


@pytest.fixture
def pair(rng):
    return rng.uniform(0, 1, (2, 2, 9, 11, 3)).astype("float32")


def spatial_gradient(images, mode, normalized):
    """Returns kornia's slopes as `(dy, dx)` of channels-last images."""
    found = filters.spatial_gradient(
        images.movedim(-1, 1), mode, normalized=normalized
    )
    dx, dy = found.unbind(2)
    return dy.movedim(1, -1), dx.movedim(1, -1)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("operator", "mode", "weight"),
    [("sobel", "sobel", 1), ("central", "diff", 1)],
)
@pytest.mark.parametrize("padding", ["replicate", "reflect"])
def test_slopes(pair, operator, mode, weight, normalize, padding):
    images = pair[0]
    found = ops.image_gradients(
        images, operator, normalize=normalize, padding=padding
    )
    expected = spatial_gradient(torch.tensor(images), mode, normalize)
    # kornia repeats the edge; mirrored images are equal inside.
    inside = slice(None) if padding == "replicate" else slice(1, -1)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(ours)[:, inside, inside],
            theirs.numpy()[:, inside, inside],
            atol=1e-6,
        )


@pytest.mark.parametrize("mode", ["component", "magnitude"])
def test_losses_and_their_gradients(pair, mode):
    epsilon = 1e-3
    loss = SobelGradientLoss(
        mode=mode, padding="replicate", normalize=True, epsilon=epsilon
    )
    y_true, y_pred = map(torch.tensor, pair)
    y_pred.requires_grad_()

    def measure(images):
        slopes = torch.stack(spatial_gradient(images, "sobel", True))
        if mode == "component":
            return slopes
        return (slopes.square().sum(0) + epsilon**2).sqrt()

    expected = (measure(y_true) - measure(y_pred)).abs().mean()
    expected.backward()
    assert float(loss(*pair)) == pytest.approx(expected.item(), rel=1e-6)
    (found,) = checks.gradients(lambda x: loss(pair[0], x), pair[1])
    scale = y_pred.grad.abs().max().item()
    np.testing.assert_allclose(found, y_pred.grad.numpy(), atol=1e-6 * scale)
