"""How far apart two sets of features are, by a polynomial kernel."""

from keras import ops

from keras_perceptual.typing import ArrayLike, Tensor
from keras_perceptual.validation import Checker


def kernel_inception_distance(
    true: ArrayLike,
    pred: ArrayLike,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef: float = 1.0,
    seen: Tensor | None = None,
) -> Tensor:
    """Returns the kernel inception distance (KID) of two sets of features.

    The squared maximum mean discrepancy of the kernel
    `(gamma * dot(x, y) + coef) ** degree`, estimated without a bias: for two
    sets that are drawn alike it is 0 on average, however small they are, and so
    it may be below 0. The numbers are those of torchmetrics for one subset.

    Args:
        true: Floating-point array shaped `(count, features)`, of real images.
        pred: Array shaped as `true`, of generated ones. They need not be pairs.
        degree: Integer of at least 1. Defaults to 3.
        gamma: Float above zero, what products are scaled with. Defaults to one
            by the number of features.
        coef: Float, what is added to them. Defaults to 1.
        seen: Optional tensor shaped `(count,)`, 1 for the features that count
            and 0 for others, of both sets. Defaults to all.

    Returns:
        A scalar tensor; 0 for less than two images.

    Raises:
        ValueError: If an argument is unknown, or if the features are not two
            sets of equal shape.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual import ops
    >>> features = np.random.default_rng(0).normal(size=(2, 100, 8))
    >>> near = ops.kernel_inception_distance(*features.astype("float32"))
    >>> far = ops.kernel_inception_distance(
    ...     *(features + [[[0]], [[1]]]).astype("float32")
    ... )
    >>> bool(abs(near) < 0.1 < 1 < far)
    True

    Reference:
        [Binkowski et al., 2018](https://arxiv.org/abs/1801.01401), Demystifying
        MMD GANs.
    """
    check = Checker("kernel_inception_distance")
    degree = check.integer("degree", degree, minimum=1)
    coef = check.number("coef", coef)
    true, pred = ops.convert_to_tensor(true), ops.convert_to_tensor(pred)
    check_features(check.owner, true, pred)
    if gamma is None:
        gamma = 1 / true.shape[-1]
    gamma = check.number("gamma", gamma, above=0)
    if seen is None:
        seen = ops.ones_like(true[:, 0])
    seen = ops.cast(seen, true.dtype)

    def total(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        kernel = ops.power(
            gamma * ops.matmul(x, ops.transpose(y)) + coef, degree
        )
        # Rows first: no sum is long.
        return ops.sum(ops.sum(ops.where(weights, kernel, 0.0), axis=1))

    pairs = ops.expand_dims(seen, 1) * ops.expand_dims(seen, 0) > 0
    place = ops.arange(ops.shape(true)[0])
    others = ops.expand_dims(place, 1) != ops.expand_dims(place, 0)
    others = ops.logical_and(pairs, others)
    count = ops.sum(seen)
    same = total(true, true, others) + total(pred, pred, others)
    mixed = total(true, pred, pairs)
    found = same / ops.maximum(count * (count - 1), 1.0)
    found = found - 2 * mixed / ops.maximum(ops.square(count), 1.0)
    return ops.where(count > 1, found, ops.zeros_like(found))


def check_features(owner: str, true: Tensor, pred: Tensor) -> None:
    """Refuses what are not two sets of as many features.

    Args:
        owner: Name of the object that asks, for the message.
        true: Tensor.
        pred: Tensor.
    """
    shapes = [tuple(x.shape) for x in (true, pred)]
    alike = all(
        None in sizes or len(set(sizes)) == 1
        for sizes in zip(*shapes, strict=False)
    )
    if [len(shape) for shape in shapes] != [2, 2] or not alike:
        raise ValueError(
            f"{owner} compares two sets of features of equal shape, "
            "`(count, features)`. Average feature maps over their positions, "
            "and leave out what one set has more. Received: "
            f"true.shape={shapes[0]}, pred.shape={shapes[1]}"
        )
