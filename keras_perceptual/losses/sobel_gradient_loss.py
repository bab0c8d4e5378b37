"""A loss that compares the edges of two images."""

import keras
from keras import ops

from keras_perceptual import validation
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.ops.image_gradients import (
    OPERATORS,
    PADDINGS,
    check_image_size,
    gradient_magnitude,
    halve_images,
    spatial_gradients,
)
from keras_perceptual.ops.penalties import absolute, charbonnier_penalty

NORMS = ("l1", "l2", "charbonnier")
MODES = ("component", "magnitude", "gdl")


@keras.saving.register_keras_serializable(package="keras_perceptual")
class SobelGradientLoss(ImageLoss):
    """Compares the slopes of two images, and so the sharpness of their edges.

    Losses on pixel values hardly mind a soft edge; this one does. Add it to
    one of them, with a small weight, in super-resolution, deblurring,
    inpainting or depth estimation. It says nothing about the mean brightness,
    so it does not do alone. With the defaults it is

    ```
    mean(abs(sobel_edges(y_true) - sobel_edges(y_pred)))
    ```

    for each image, with the kernels and the border of `tf.image.sobel_edges`
    on every backend. Images have any number of channels, in `value_range`,
    default `(0, 1)`.

    Args:
        norm: What is averaged over the differences `d`: `"l1"` takes
            `abs(d)`, `"l2"` takes `d**2`, `"charbonnier"` takes
            `sqrt(d**2 + epsilon**2) - epsilon`, which is smooth at zero and
            zero there. Defaults to `"l1"`.
        operator: How a slope is measured: `"sobel"`, `"scharr"` (the same in
            every direction as nearly as nine pixels can be), `"prewitt"`,
            `"central"` (`x[i + 1] - x[i - 1]`) or `"forward"`
            (`x[i + 1] - x[i]`). Defaults to `"sobel"`.
        mode: What is compared. `"component"`: the slopes along height and
            width, with their sign and so with the direction of an edge.
            `"magnitude"`: the steepness `sqrt(dy**2 + dx**2 + epsilon**2)`,
            whatever the direction. `"gdl"`: the absolute values of the two
            slopes, so that a bright edge on dark equals a dark one on bright.
            Only `"component"` pulls at pixels where the prediction is flat;
            the other two have no slope of their own there. Defaults to
            `"component"`.
        scales: Integer. At how many scales to compare: each has half the size
            of the last, by averaging two by two pixels, and the values of all
            are summed. Defaults to 1.
        normalize: Boolean, whether to divide by the weight of the operator,
            so that a ramp that rises by `s` a pixel has the slope `s`. Sobel
            otherwise gives `8 * s`. Defaults to `False`.
        padding: How an image goes on beyond its border: `"reflect"` mirrors it
            without repeating the edge, as TensorFlow does; `"edge"` repeats
            the edge; `"valid"` leaves out the pixels that would need to know.
            Defaults to `"reflect"`.
        epsilon: Float above zero. Rounds off the square root at zero, for
            `"charbonnier"` and `"magnitude"`; the slopes it is added to are
            those of images in (0, 1). Defaults to 1e-3.
        value_range: Pair of numbers, the lowest and the highest value that a
            pixel can have. Slopes are divided by its width, so that a picture
            gives the same loss in any range. Defaults to `(0, 1)`.
        check_range: What to do about images that are not in `value_range`:
            `"warn"` once, `"raise"`, `"off"`, or `"clip"`, which warns and
            moves stray values to the ends of the range. Defaults to `"warn"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        reduction: How the values of a batch become one, as in
            `keras.losses.Loss`. Defaults to `"sum_over_batch_size"`.
        name: Optional name of the loss.
        dtype: The type that images are cast to. Defaults to
            `keras.config.floatx()`. Slopes and means are in float32 at least,
            whatever this is.

    Call arguments:
        y_true: Images shaped `(batch, height, width, channels)`, or
            `(batch, channels, height, width)` with `"channels_first"`.
            Integers are fine.
        y_pred: Floating-point images of the same shape.

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown, if the two batches differ in
            shape, if `y_pred` is of an integer type, or if the images are
            smaller than the operator needs at the coarsest scale.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.losses import SobelGradientLoss
    >>> sharp = np.zeros((1, 8, 8, 1), "float32")
    >>> sharp[:, :, 4:] = 1.0
    >>> soft = sharp.copy()
    >>> soft[:, :, 3:5] = 0.5
    >>> float(SobelGradientLoss()(sharp, soft))
    0.5

    In a model, next to a loss on the pixels:

    ```python
    model.compile(
        optimizer="adam",
        loss=["mean_absolute_error", SobelGradientLoss()],
        loss_weights=[1.0, 0.05],
    )
    ```

    Reference:
        - I. Sobel and G. Feldman, "A 3x3 Isotropic Gradient Operator for
          Image Processing", 1968, for the operator.
        - [Mathieu, Couprie and LeCun, 2015](https://arxiv.org/abs/1511.05440),
          for `mode="gdl"`. Theirs is `operator="forward"`,
          `padding="valid"`, with `norm="l1"` or `"l2"` for their alpha of 1
          or 2, and sums over the pixels; this is the mean.
        - [Ranftl et al., 2019](https://arxiv.org/abs/1907.01341), for the sum
          over scales. They keep every second pixel of a difference of
          disparities; here pixels are averaged, so that none is left out.
    """

    def __init__(
        self,
        norm="l1",
        *,
        operator="sobel",
        mode="component",
        scales=1,
        normalize=False,
        padding="reflect",
        epsilon=1e-3,
        value_range=(0, 1),
        check_range="warn",
        data_format=None,
        reduction="sum_over_batch_size",
        name="sobel_gradient_loss",
        dtype=None,
    ):
        super().__init__(
            value_range=value_range,
            check_range=check_range,
            data_format=data_format,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        owner = type(self).__name__
        self.norm = validation.check_choice(owner, "norm", norm, NORMS)
        self.operator = validation.check_choice(
            owner, "operator", operator, OPERATORS
        )
        self.mode = validation.check_choice(owner, "mode", mode, MODES)
        self.scales = validation.check_integer(
            owner, "scales", scales, minimum=1
        )
        self.normalize = bool(normalize)
        self.padding = validation.check_choice(
            owner, "padding", padding, PADDINGS
        )
        self.epsilon = validation.check_number(
            owner, "epsilon", epsilon, above=0
        )

    def call(self, y_true, y_pred):
        """Returns one value for each image."""
        # Shapes of images that reach `call` agree, but one of the two may
        # know a size that the other does not.
        for images in (y_true, y_pred):
            check_image_size(
                type(self).__name__,
                tuple(images.shape),
                operator=self.operator,
                padding=self.padding,
                data_format=self.data_format,
                scales=self.scales,
            )
        if self.mode == "component":
            # The operators are linear: the difference of the slopes is the
            # slope of the difference, at half the work.
            images = [y_pred - y_true]
        else:
            images = [y_pred, y_true]
        total = self._compare(images)
        for _ in range(self.scales - 1):
            images = [halve_images(x, self.data_format) for x in images]
            total = total + self._compare(images)
        return total

    def _compare(self, images):
        """Returns the loss of each image at one scale."""
        slopes = [self._slopes(x) for x in images]
        if self.mode == "component":
            (differences,) = slopes
        elif self.mode == "magnitude":
            pred, true = (
                gradient_magnitude(*pair, self.epsilon) for pair in slopes
            )
            differences = (pred - true,)
        else:
            differences = [
                absolute(pred) - absolute(true)
                for pred, true in zip(*slopes, strict=True)
            ]
        means = [
            ops.mean(self._penalty(d), axis=(1, 2, 3)) for d in differences
        ]
        return sum(means) / len(means)

    def _slopes(self, images):
        """Returns `(dy, dx)` of images as if they were in (0, 1)."""
        slopes = spatial_gradients(
            images,
            self.operator,
            normalize=self.normalize,
            padding=self.padding,
            data_format=self.data_format,
        )
        width = self.value_range[1] - self.value_range[0]
        return slopes if width == 1 else [slope / width for slope in slopes]

    def _penalty(self, d):
        if self.norm == "l1":
            return absolute(d)
        if self.norm == "l2":
            return ops.square(d)
        return charbonnier_penalty(d, self.epsilon)

    def get_config(self):
        """Returns every argument of the constructor."""
        config = super().get_config()
        config.update(
            norm=self.norm,
            operator=self.operator,
            mode=self.mode,
            scales=self.scales,
            normalize=self.normalize,
            padding=self.padding,
            epsilon=self.epsilon,
        )
        return config
