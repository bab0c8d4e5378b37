"""Slopes and edge losses of images, in NumPy, from the kernels alone.

Images are shaped (batch, height, width, channels).
"""

import numpy as np

# Kernels along the width, as correlations; the transpose is for the height.
KERNELS = {
    "sobel": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "scharr": [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]],
    "prewitt": [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]],
    "central": [[0, 0, 0], [-1, 0, 1], [0, 0, 0]],
    "forward": [[0, 0, 0], [0, -1, 1], [0, 0, 0]],
}
LAPLACIAN = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
BLUR = np.outer([1, 5, 8, 5, 1], [1, 5, 8, 5, 1]) / 400
MODES = {"reflect": "reflect", "replicate": "edge", "valid": "edge"}
UNIT_SLOPE = {
    "sobel": 1 / 8,
    "scharr": 1 / 32,
    "prewitt": 1 / 6,
    "central": 1 / 2,
    "forward": 1.0,
}


def correlate(images, kernel, padding):
    kernel = np.asarray(kernel, "float64")
    far = len(kernel) // 2
    pads = ((0, 0), (far, far), (far, far), (0, 0))
    padded = np.pad(images.astype("float64"), pads, MODES[padding])
    height, width = images.shape[1:3]
    result = np.zeros(images.shape)
    for row in range(len(kernel)):
        for column in range(len(kernel)):
            result += (
                kernel[row, column]
                * padded[:, row : row + height, column : column + width]
            )
    return result


def band(images, padding="reflect"):
    """Returns the finest level of a Laplacian pyramid."""
    spread = np.zeros(images.shape)
    spread[:, ::2, ::2] = 4 * correlate(images, BLUR, padding)[:, ::2, ::2]
    return images - correlate(spread, BLUR, padding)


def slopes(images, operator="sobel", padding="reflect", normalize=False):
    """Returns (dy, dx), or a Laplacian alone, stacked on a new last axis."""
    if operator == "laplacian_pyramid":
        return band(images, padding)[..., None]
    if operator == "laplacian":
        found = correlate(images, LAPLACIAN, padding)[..., None]
        return found[:, 1:-1, 1:-1] if padding == "valid" else found
    kernel = np.asarray(KERNELS[operator], "float64")
    if normalize:
        kernel = kernel * UNIT_SLOPE[operator]
    both = np.stack(
        [
            correlate(images, kernel.T, padding),
            correlate(images, kernel, padding),
        ],
        axis=-1,
    )
    if padding == "valid":
        first = 0 if operator == "forward" else 1
        both = both[:, first:-1, first:-1]
    return both


def halve(images):
    batch, height, width, channels = images.shape
    height, width = height // 2, width // 2
    images = images[:, : 2 * height, : 2 * width]
    return images.reshape(batch, height, 2, width, 2, channels).mean((2, 4))


def shrink(images, downsampling, padding):
    if downsampling == "average":
        return halve(images)
    if downsampling == "gaussian":
        padding = "reflect" if padding == "valid" else padding
        images = correlate(images, BLUR, padding)
    return images[:, ::2, ::2]


def edge_loss(
    y_true,
    y_pred,
    norm="l1",
    operator="sobel",
    mode="component",
    scales=1,
    downsampling="average",
    components="mean",
    normalize=False,
    log_space=False,
    padding="reflect",
    epsilon=1e-3,
    value_range=(0, 1),
):
    """Returns the loss of each image."""
    width = value_range[1] - value_range[0]
    y_true = (y_true.astype("float64") - value_range[0]) / width
    y_pred = (y_pred.astype("float64") - value_range[0]) / width
    if log_space:
        y_true, y_pred = (
            np.where(
                x > epsilon,
                np.log(np.maximum(x, epsilon)),
                np.log(epsilon) + (x - epsilon) / epsilon,
            )
            for x in (y_true, y_pred)
        )
    total = np.zeros(len(y_true))
    for scale in range(scales):
        if scale:
            y_true = shrink(y_true, downsampling, padding)
            y_pred = shrink(y_pred, downsampling, padding)
        true = slopes(y_true, operator, padding, normalize)
        pred = slopes(y_pred, operator, padding, normalize)
        count = true.shape[-1]
        if mode == "magnitude":
            true = np.sqrt(np.sum(true**2, axis=-1) + epsilon**2)
            pred = np.sqrt(np.sum(pred**2, axis=-1) + epsilon**2)
            count = 1
        elif mode == "gdl":
            true, pred = np.abs(true), np.abs(pred)
        elif mode == "angle":
            ones = np.ones((*true.shape[:-1], 1))
            true, pred = (np.concatenate([x, ones], -1) for x in (true, pred))
            lengths = [np.linalg.norm(x, axis=-1) for x in (true, pred)]
            pred = 1 - np.sum(true * pred, axis=-1) / np.prod(lengths, axis=0)
            true, count = 0.0, 1
        d = pred - true
        if norm == "charbonnier":
            penalty = np.sqrt(d**2 + epsilon**2) - epsilon
        else:
            penalty = np.abs(d) ** {"l1": 1, "l2": 2}.get(norm, norm)
        total += penalty.reshape(len(y_true), -1).mean(axis=1) * (
            count if components == "sum" else 1
        )
    return total


# Losses as their authors compute them, one image at a time.


def densedepth(y_true, y_pred):
    """`l_edges` of DenseDepth, of one image (height, width, channels)."""

    def image_gradients(x):
        dy, dx = np.zeros_like(x), np.zeros_like(x)
        dy[:-1] = x[1:] - x[:-1]
        dx[:, :-1] = x[:, 1:] - x[:, :-1]
        return dy, dx

    (dy, dx), (dy_true, dx_true) = map(image_gradients, (y_pred, y_true))
    return np.mean(np.abs(dy - dy_true) + np.abs(dx - dx_true))


def midas(y_true, y_pred, mask, scales=4):
    """The gradient loss of MiDaS, of one depth map (height, width)."""
    total = 0.0
    for step in 2 ** np.arange(scales):
        m = mask[::step, ::step]
        diff = m * (y_pred[::step, ::step] - y_true[::step, ::step])
        total_x = np.abs(diff[:, 1:] - diff[:, :-1]) * m[:, 1:] * m[:, :-1]
        total_y = np.abs(diff[1:] - diff[:-1]) * m[1:] * m[:-1]
        total += (total_x.sum() + total_y.sum()) / m.sum()
    return total


def gradient_difference(y_true, y_pred, alpha):
    """The loss of Mathieu et al., of one image, a sum over its pixels."""

    def differences(x):
        return np.abs(x[1:] - x[:-1]), np.abs(x[:, 1:] - x[:, :-1])

    pairs = zip(differences(y_true), differences(y_pred), strict=True)
    return sum(np.sum(np.abs(t - p) ** alpha) for t, p in pairs)


def mprnet(y_true, y_pred, epsilon=1e-3):
    """The edge loss of MPRNet, of one image (height, width, channels)."""
    kernel = np.outer(
        [0.05, 0.25, 0.4, 0.25, 0.05], [0.05, 0.25, 0.4, 0.25, 0.05]
    )

    def gauss(x):
        padded = np.pad(x, ((2, 2), (2, 2), (0, 0)), "edge")
        windows = np.lib.stride_tricks.sliding_window_view(
            padded, (5, 5), axis=(0, 1)
        )
        return np.einsum("hwcij,ij->hwc", windows, kernel)

    def laplacian(x):
        spread = np.zeros_like(x)
        spread[::2, ::2] = 4 * gauss(x)[::2, ::2]
        return x - gauss(spread)

    diff = laplacian(y_pred) - laplacian(y_true)
    return np.mean(np.sqrt(diff**2 + epsilon**2))
