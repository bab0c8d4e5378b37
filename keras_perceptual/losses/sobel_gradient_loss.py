"""A loss that compares the edges of two images."""

import functools
import numbers
import sys

import keras
from keras import ops

from keras_perceptual import _backend, validation
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.losses.presets import EDGE_PRESETS
from keras_perceptual.ops.borders import PADDINGS
from keras_perceptual.ops.image_gradients import (
    OPERATORS,
    check_image_size,
    gradient_magnitude,
    image_gradients,
    laplacian,
    normal_distance,
    smallest_side,
)
from keras_perceptual.ops.log_space import log_with_tangent
from keras_perceptual.ops.masks import mean_per_image
from keras_perceptual.ops.penalties import (
    absolute,
    charbonnier_penalty,
    power_penalty,
)
from keras_perceptual.ops.pyramids import (
    DOWNSAMPLINGS,
    downsample,
    laplacian_pyramid,
    smallest_side_before,
)
from keras_perceptual.ops.slope_masks import (
    center_mask,
    downsample_mask,
    mask_slopes,
)

NORMS = {"l1": 1, "l2": 2}
MODES = ("component", "magnitude", "gdl", "angle")
# Operators that tell how a slope changes, and not which way it goes.
UNDIRECTED = ("laplacian", "laplacian_pyramid")
# What is compared of slopes that have two components as one.
PAIRED = ("magnitude", "angle")


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
            `abs(d)`, `"l2"` takes `d**2`, a number `p` of at least 1 takes
            `abs(d)**p`, and `"charbonnier"` takes
            `sqrt(d**2 + epsilon**2) - epsilon`, which is smooth at zero and
            zero there. Defaults to `"l1"`.
        operator: How a slope is measured: `"sobel"`, `"scharr"` (the same in
            every direction as nearly as nine pixels can be), `"prewitt"`,
            `"central"` (`x[i + 1] - x[i - 1]`) or `"forward"`
            (`x[i + 1] - x[i]`). Two others have no direction: `"laplacian"`,
            the four neighbors minus four times the pixel, and
            `"laplacian_pyramid"`, the pixel minus what a blurred image of half
            the size tells of it. Defaults to `"sobel"`.
        mode: What is compared. `"component"`: the slopes along height and
            width, with their sign and so with the direction of an edge.
            `"magnitude"`: the steepness `sqrt(dy**2 + dx**2 + epsilon**2)`,
            whatever the direction. `"gdl"`: the absolute values of the two
            slopes, so that a bright edge on dark equals a dark one on bright.
            `"angle"`: one minus the cosine of the angle between the normals
            `(-dx, -dy, 1)` of the images taken as heights, as for depth.
            Where the prediction is flat, `"magnitude"` and `"gdl"` have no
            slope of their own; the others pull there too. Defaults to
            `"component"`.
        scales: Integer. At how many scales to compare: each has half the size
            of the last, and the values of all are summed. Defaults to 1.
        downsampling: How images are made smaller: `"average"` averages two by
            two pixels, `"stride"` takes every second one, as MiDaS does, and
            `"gaussian"` blurs before it does. Defaults to `"average"`.
        components: `"mean"` averages over the slopes along height and width,
            `"sum"` adds them up, as publications often do. Defaults to
            `"mean"`.
        normalize: Boolean, whether to divide by the weight of the operator,
            so that a ramp that rises by `s` a pixel has the slope `s`. Sobel
            otherwise gives `8 * s`. Laplacians stay what they are. Defaults
            to `False`.
        log_space: Boolean, whether to compare the slopes of the logarithms of
            the values: ratios of depths, of which the unit does not matter.
            Values below `epsilon` times the width of `value_range` are on the
            tangent of the logarithm, so that no prediction is without a
            gradient. Defaults to `False`.
        padding: How an image goes on beyond its border: `"reflect"` mirrors it
            without repeating the edge, as TensorFlow does; `"replicate"`
            repeats the edge; `"valid"` leaves out the pixels that would need
            to know. Defaults to `"reflect"`.
        epsilon: Float above zero. Rounds off the square root at zero, for
            `"charbonnier"` and `"magnitude"`; the slopes it is added to are
            those of images in (0, 1). For what it is to `log_space`, see
            there. Defaults to 1e-3.
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
            Integers are fine. Or a pair `(images, mask)`.
        y_pred: Floating-point images of the same shape.
        sample_weight: Optional weights of the images, shaped `(batch,)`, or a
            mask.

    A mask, shaped `(batch, height, width)`, says how much each pixel counts:
    0 for one whose depth is not known, and which may hold NaN. A slope counts
    as little as the least of the pixels that it depends on, and the sum over
    an image is divided by the sum of its mask.

    Returns:
        The loss, of each image before the reduction: shape `(batch,)`.

    Raises:
        ValueError: If an argument is unknown or does not go with another, if
            the two batches differ in shape, if `y_pred` is of an integer
            type, if a mask is of another size, or if the images are smaller
            than the operator needs at the coarsest scale.

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

    As published: `SobelGradientLoss.preset("midas")`.

    Reference:
        - I. Sobel and G. Feldman, "A 3x3 Isotropic Gradient Operator for
          Image Processing", 1968, for the operator.
        - [Burt and Adelson, 1983](https://doi.org/10.1109/TCOM.1983.1095851),
          for the pyramid.
        - [Mathieu, Couprie and LeCun, 2015](https://arxiv.org/abs/1511.05440),
          for `mode="gdl"`.
        - [Hu et al., 2019](https://arxiv.org/abs/1803.08673), for
          `mode="angle"`: their loss on normals, of which theirs has
          `normalize=True`.
        - [Ranftl et al., 2019](https://arxiv.org/abs/1907.01341), for the sum
          over scales and the mask, and
          [Li and Snavely, 2018](https://arxiv.org/abs/1804.00607), for
          `log_space`.
    """

    def __init__(
        self,
        norm="l1",
        *,
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
        self.norm = _check_norm(owner, norm)
        self.operator = validation.check_choice(
            owner, "operator", operator, (*OPERATORS, *UNDIRECTED)
        )
        self.mode = validation.check_choice(owner, "mode", mode, MODES)
        self.scales = validation.check_integer(
            owner,
            "scales",
            scales,
            minimum=1,
            maximum=validation.MOST_SCALES,
        )
        self.downsampling = validation.check_choice(
            owner, "downsampling", downsampling, DOWNSAMPLINGS
        )
        self.components = validation.check_choice(
            owner, "components", components, ("mean", "sum")
        )
        self.normalize = validation.check_boolean(owner, "normalize", normalize)
        self.log_space = validation.check_boolean(owner, "log_space", log_space)
        self.padding = validation.check_choice(
            owner, "padding", padding, PADDINGS
        )
        self.epsilon = validation.check_number(
            owner, "epsilon", epsilon, above=0
        )
        if self.operator in UNDIRECTED and self.mode in PAIRED:
            raise ValueError(
                f"{owner} needs the slopes along height and width for "
                f"mode={mode!r}, and a Laplacian has none. Use mode='gdl' to "
                "compare absolute values, or another operator. "
                f"Received: operator={operator!r}, mode={mode!r}"
            )
        if self.operator == "laplacian_pyramid" and self.padding == "valid":
            raise ValueError(
                f"{owner} enlarges images to their size again for "
                "operator='laplacian_pyramid', which needs pixels beyond the "
                "border. Use padding='reflect' or padding='replicate'. "
                f"Received: padding={padding!r}"
            )
        if self.log_space and self.value_range[0] < 0:
            raise ValueError(
                f"{owner} takes the logarithm of values that are not "
                "negative. Pass the range of the depths as `value_range`, for "
                "example (0, 10), or leave out `log_space`. "
                f"Received: value_range={value_range!r}"
            )

    @classmethod
    def preset(cls, name, **overrides):
        """Returns the loss of a publication.

        | name | publication |
        | --- | --- |
        | `"densedepth"` | Alhashim and Wonka 2018, the edge term |
        | `"midas"` | Ranftl et al. 2019, four scales, with a mask |
        | `"mprnet"` | Zamir et al. 2021, less the constant epsilon |
        | `"gdl"` | Mathieu et al. 2015, alpha = 1, as a mean over pixels |

        Their values are those of images as they are, so `value_range` stays
        (0, 1) unless images are to be taken as a share of their range; with
        others, pass `check_range="off"`.

        Args:
            name: String, a name of this table.
            **overrides: Arguments of `SobelGradientLoss` that are to differ,
                such as `value_range`, `norm` or `log_space`.

        Returns:
            A `SobelGradientLoss`; its configuration does not mention the
            preset.

        Raises:
            ValueError: If there is no preset of this name.

        Example:

        >>> from keras_perceptual import SobelGradientLoss
        >>> SobelGradientLoss.preset("midas").scales
        4

        Reference:
            `keras_perceptual/losses/presets.py` works out each of them.
        """
        validation.check_choice(
            f"{cls.__name__}.preset", "name", name, EDGE_PRESETS
        )
        return cls(**{**EDGE_PRESETS[name], **overrides})

    def _admit(self, y_true, y_pred, sample_weight=None):
        """Hides the pixels that a mask leaves out before others are checked."""
        owner = type(self).__name__
        y_true, mask, sample_weight = validation.split_mask(
            owner, y_true, sample_weight
        )
        if mask is None:
            return super()._admit(y_true, y_pred, sample_weight)
        validation.check_image_pair(
            owner, y_true, y_pred, channels=None, data_format=self.data_format
        )
        mask = validation.check_mask(owner, mask, y_pred, self.data_format)
        y_true, y_pred, sample_weight = super()._admit(
            self._hide(y_true, mask), self._hide(y_pred, mask), sample_weight
        )
        return (y_true, mask), y_pred, sample_weight

    def _hide(self, images, mask):
        """Returns images with the lowest value where a mask is zero."""
        seen = ops.cast(mask, self.dtype) > 0
        seen = ops.expand_dims(
            seen, -1 if self.data_format == "channels_last" else 1
        )
        images = ops.cast(images, self.dtype)
        return ops.where(seen, images, self.value_range[0])

    def _values(self, y_true, y_pred):
        y_true, mask = y_true if isinstance(y_true, tuple) else (y_true, None)
        # Shapes of images that reach `call` agree, but one of the two may
        # know a size that the other does not.
        for images in (y_true, y_pred):
            self._check_size(tuple(images.shape))
        compute = _backend.compile_in_graph(type(self)._compute, self)
        return compute(y_true, y_pred, mask)

    def _compute(self, y_true, y_pred, mask):
        """Returns one value for each image, of images that fit together."""
        images = [y_pred, y_true]
        width = self.value_range[1] - self.value_range[0]
        if self.log_space:
            images = [log_with_tangent(x / width, self.epsilon) for x in images]
            width = 1
        if self.mode == "component":
            # The operators are linear: the difference of the slopes is the
            # slope of the difference, at half the work.
            images = [images[0] - images[1]]
        total = self._compare(images, mask, width)
        for _ in range(self.scales - 1):
            images = [
                downsample(x, self.downsampling, self.padding, self.data_format)
                for x in images
            ]
            if mask is not None:
                mask = downsample_mask(mask, self.downsampling)
            total = total + self._compare(images, mask, width)
        return total

    def _check_size(self, shape):
        needed = smallest_side(self.operator, self.padding)
        for _ in range(self.scales - 1):
            needed = smallest_side_before(
                needed, self.downsampling, self.padding
            )
        at_scales = f" at {self.scales} scales" if self.scales > 1 else ""
        check_image_size(
            type(self).__name__,
            shape,
            needed,
            data_format=self.data_format,
            condition=(
                f"operator={self.operator!r} with "
                f"padding={self.padding!r}{at_scales}"
            ),
        )

    def _compare(self, images, mask, width):
        """Returns the loss of each image at one scale."""
        slopes = [self._slopes(x) for x in images]
        if width != 1:
            slopes = [[x / width for x in group] for group in slopes]
        if self.mode == "component":
            (differences,) = slopes
        elif self.mode == "magnitude":
            pred, true = (
                gradient_magnitude(*pair, self.epsilon) for pair in slopes
            )
            differences = [pred - true]
        elif self.mode == "angle":
            differences = [normal_distance(*slopes)]
        else:
            differences = [
                absolute(pred) - absolute(true)
                for pred, true in zip(*slopes, strict=True)
            ]
        penalties = [self._penalty(d) for d in differences]
        if mask is None:
            values = [mean_per_image(x) for x in penalties]
        else:
            values = self._weighted_means(penalties, mask)
        return sum(values) / (len(values) if self.components == "mean" else 1)

    def _slopes(self, images):
        """Returns the components of the slopes of images."""
        if self.operator == "laplacian_pyramid":
            band, _ = laplacian_pyramid(
                images, 2, padding=self.padding, data_format=self.data_format
            )
            return (band,)
        if self.operator == "laplacian":
            return (
                laplacian(
                    images, padding=self.padding, data_format=self.data_format
                ),
            )
        return image_gradients(
            images,
            self.operator,
            normalize=self.normalize,
            padding=self.padding,
            data_format=self.data_format,
        )

    def _weighted_means(self, penalties, mask):
        """Returns sums over what a mask shows, divided by its own sum."""
        mask = ops.cast(mask, penalties[0].dtype)
        weights = mask_slopes(mask, self.operator, self.padding)
        if len(penalties) < len(weights):
            weights = [functools.reduce(ops.minimum, weights)]
        area = center_mask(mask, self.operator, self.padding)
        area = ops.sum(area, axis=(1, 2))
        # Without a pixel to be seen, the sum is zero, and the mean too.
        area = ops.where(area > 0, area, ops.ones_like(area))
        channels = -1 if self.data_format == "channels_last" else 1
        return [
            ops.sum(ops.mean(x, axis=channels) * weight, axis=(1, 2)) / area
            for x, weight in zip(penalties, weights, strict=True)
        ]

    def _penalty(self, d):
        if self.norm == "charbonnier":
            return charbonnier_penalty(d, self.epsilon)
        return power_penalty(d, NORMS.get(self.norm, self.norm))

    def get_config(self):
        """Returns every argument of the constructor."""
        config = super().get_config()
        config.update(
            norm=self.norm,
            operator=self.operator,
            mode=self.mode,
            scales=self.scales,
            downsampling=self.downsampling,
            components=self.components,
            normalize=self.normalize,
            log_space=self.log_space,
            padding=self.padding,
            epsilon=self.epsilon,
        )
        return config


def _check_norm(owner, norm):
    """Returns the name of a norm, or an exponent as a float."""
    names = (*NORMS, "charbonnier")
    if isinstance(norm, str):
        return validation.check_choice(owner, "norm", norm, names)
    is_number = isinstance(norm, numbers.Real) and not isinstance(norm, bool)
    if not is_number or not 1 <= norm <= sys.float_info.max:
        raise ValueError(
            f"{owner} needs `norm` to be one of {list(names)}, or a finite "
            "number of at least 1, to whose power differences are raised; "
            "below 1, equal images would have no gradient. "
            f"Received: norm={validation.show(norm)}"
        )
    return float(norm)
