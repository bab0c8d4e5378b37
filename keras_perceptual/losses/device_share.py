"""The part that a device has in the mean over the whole batch."""

from keras import ops

from keras_perceptual import _backend
from keras_perceptual.typing import ArrayLike, Reduction, Tensor

MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def weigh_by_share(
    loss: Tensor,
    reduction: Reduction,
    y_pred: Tensor,
    sample_weight: ArrayLike | None = None,
) -> Tensor:
    """Makes a mean over the images of one device a part of that over all.

    Keras divides by the images that a device has and by the number of devices,
    so that in an uneven batch, such as the last one of an epoch, an image of a
    device that has few counts more than others. Here it learns from all alike:
    the gradients of the devices add up to that of the mean over all images.
    The value stays such that the mean of the devices, each weighed by its
    images, as Keras shows it, is the mean over all images.

    Args:
        loss: Scalar, as Keras reduced it on this device.
        reduction: How it did so.
        y_pred: The images of this device.
        sample_weight: The weights of this device, if any.

    Returns:
        A scalar; `loss` itself where there is one device, or no mean.
    """
    devices = _backend.replica_count()
    if devices == 1 or reduction not in MEANS:
        return loss
    images = weight = ops.cast(ops.shape(y_pred)[0], loss.dtype)
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        weight = ops.sum(ops.cast(sample_weight, loss.dtype))
    totals = _backend.replica_total(ops.stack([images, weight]))
    if totals is None:
        return loss
    all_images, all_weight = totals[0], totals[1]
    learned = loss * devices * ops.divide_no_nan(weight, all_weight)
    shown = learned * ops.divide_no_nan(all_images, devices * images)
    return learned + ops.stop_gradient(shown - learned)
