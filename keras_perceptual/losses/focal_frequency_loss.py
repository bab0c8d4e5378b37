"""A loss on the spectra of two images."""

import dataclasses

import keras

from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.focal_frequency import (
    check_patches,
    focal_frequency_distance,
)
from keras_perceptual.typing import (
    DataFormat,
    DType,
    RangePolicy,
    Reduction,
    Tensor,
    ValueRange,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FocalFrequencyDistance(PixelDistance):
    """The mean squared difference of the spectra, the worst first."""

    alpha: float
    log_matrix: bool
    patch_factor: int

    takes_mask = True
    hides_pixels = True

    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the distance of each pair of images."""
        for images in (y_true, y_pred):
            check_patches(
                self.owner,
                tuple(images.shape),
                patch_factor=self.patch_factor,
                data_format=self.data_format,
            )
        return focal_frequency_distance(
            y_true / self.width,
            y_pred / self.width,
            alpha=self.alpha,
            log_matrix=self.log_matrix,
            patch_factor=self.patch_factor,
            mask=mask,
            data_format=self.data_format,
        )


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
class FocalFrequencyLoss(ImageLoss):
    """Compares the spectra of two images, and most where they differ most.

    Networks learn low frequencies first and leave out hard ones; the usual
    losses let them. Here every frequency is weighted by how wrong it is, so
    that what is missing most is learned next. Add it to a loss on pixels in
    restoration, autoencoders and generation. For each image it is

    ```
    mean(w * abs(D)**2),   w = abs(D)**alpha / max(abs(D)**alpha)
    ```

    where `D` is the orthonormal Fourier transform of the difference, a channel
    at a time; the weights `w` are found anew at each step and carry no
    gradient. Images have any number of channels, in `value_range`, default
    `(0, 1)`.

    The numbers are those of the authors' code with a `loss_weight` of 1. Its
    options `ave_spectrum` and `batch_matrix` are left out: they mix the images
    of a batch, so that no image has a loss of its own.

    Args:
        alpha: Float of at least 0, how much more a frequency counts that is
            further off. At 0 all count alike, which is the mean squared error
            of the pixels. Defaults to 1.
        log_matrix: Boolean, whether to take `log(1 + abs(D)**alpha)` in the
            place of `abs(D)**alpha`, which evens out the weights. Defaults to
            `False`.
        patch_factor: Integer, into how many parts height and width are cut.
            Each patch has a spectrum and weights of its own. Defaults to 1,
            the whole image.
        {loss_arguments}

    Call arguments:
        {masked_pair_of_images}

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if the two batches differ in
            shape, if `y_pred` is of an integer type, or if height or width is
            not a multiple of `patch_factor`.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.losses import FocalFrequencyLoss
    >>> black = np.zeros((1, 8, 8, 3), "float32")
    >>> round(float(FocalFrequencyLoss()(black, black + 0.5)), 4)
    0.25

    Reference:
        [Jiang et al., 2021](https://arxiv.org/abs/2012.12821), "Focal
        frequency loss for image reconstruction and synthesis".
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        log_matrix: bool = False,
        patch_factor: int = 1,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "focal_frequency_loss",
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            value_range=value_range,
            check_range=check_range,
            data_format=data_format,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        check = self._check
        self.alpha = check.number("alpha", alpha, minimum=0)
        self.log_matrix = check.boolean("log_matrix", log_matrix)
        self.patch_factor = check.integer(
            "patch_factor", patch_factor, minimum=1, maximum=1024
        )
        self._distance = FocalFrequencyDistance.of(self)
