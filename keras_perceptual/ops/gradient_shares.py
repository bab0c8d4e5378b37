"""What the terms of a sum have of its gradient at the prediction.

All of it is made of the matrix of dot products of the gradients, a few numbers
whatever the size of the images. A factor that is common to all gradients, such
as that of loss scaling or of the number of devices, has no effect.
"""

from collections.abc import Sequence

from keras import ops

from keras_perceptual.typing import Tensor

# How much of the moving average one batch leaves: the last ten or so count.
DECAY = 0.9


def dot_products(gradients: Sequence[Tensor]) -> Tensor:
    """Returns the dot product of each pair of gradients.

    Args:
        gradients: List of floating-point tensors of one shape.

    Returns:
        A symmetric tensor shaped `(terms, terms)`.
    """
    count = len(gradients)
    found = {
        (i, j): ops.sum(gradients[i] * gradients[j])
        for i in range(count)
        for j in range(i + 1)
    }
    return ops.stack(
        [
            ops.stack([found[max(i, j), min(i, j)] for j in range(count)])
            for i in range(count)
        ]
    )


def norms(products: Tensor) -> Tensor:
    """Returns the Euclidean norm of each gradient, shaped `(terms,)`."""
    return ops.sqrt(ops.diagonal(products))


def shares(lengths: Tensor) -> Tensor:
    """Returns norms as shares of their sum; zeros where all are zero."""
    return ops.divide_no_nan(lengths, ops.sum(lengths))


def cosines(products: Tensor) -> Tensor:
    """Returns the cosine of the angle between each pair of gradients.

    Args:
        products: Tensor shaped `(terms, terms)`, from `dot_products`.

    Returns:
        A tensor shaped `(terms, terms)`; 0 where a gradient is zero.
    """
    lengths = norms(products)
    # One after the other: the product of two small norms may be zero.
    return ops.divide_no_nan(
        ops.divide_no_nan(products, lengths[:, None]), lengths[None]
    )


def teaches(lengths: Tensor) -> Tensor:
    """Whether every gradient of a batch is finite, and none is zero."""
    return ops.all(ops.isfinite(lengths) & (lengths > 0))


def next_average(average: Tensor, lengths: Tensor, factors: Tensor) -> Tensor:
    """Returns a moving average of gradients with one batch more in it.

    Averaged are the norms without factors, as parts of the sum of those with
    factors. As long as the factors stay, that is the mean share of a term by
    its factor, so that `correcting_factors` has the mean share where it is to
    be, however much single batches differ.

    A batch in which a gradient is zero or not finite leaves it as it is.

    Args:
        average: Tensor shaped `(terms,)`, of zeros before the first batch.
        lengths: Tensor shaped `(terms,)`, the norms of the gradients of one
            batch.
        factors: Tensor shaped `(terms,)`, by which these have been multiplied.

    Returns:
        A tensor shaped `(terms,)`.
    """
    found = teaches(lengths)
    lengths = ops.where(found, lengths, ops.ones_like(lengths))
    batch = shares(lengths) / factors
    moved = DECAY * average + (1 - DECAY) * batch
    return ops.where(found, moved, average)


def correcting_factors(average: Tensor, asked: Tensor) -> Tensor:
    """Returns by what to multiply terms so that they get the shares asked for.

    Where the gradients keep the proportions of their moving average, the
    norms of the weighed ones add up to what they add up to without factors.

    Args:
        average: Tensor shaped `(terms,)`, from `next_average`.
        asked: Tensor shaped `(terms,)`, shares that add up to 1.

    Returns:
        A tensor shaped `(terms,)`: ones as long as no batch has been seen.
    """
    factors = ops.divide_no_nan(asked * ops.sum(average), average)
    # Of a share that is too small for a float, nothing can be made.
    return ops.where(factors > 0, factors, ops.ones_like(factors))
