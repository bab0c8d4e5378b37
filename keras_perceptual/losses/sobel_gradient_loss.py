"""A loss that compares the edges of two images."""

import dataclasses
import functools
import numbers
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import keras
from keras import ops

from keras_perceptual import _backend, validation
from keras_perceptual.docstrings import fill
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.losses.presets import EDGE_PRESETS
from keras_perceptual.ops.distances import (
    absolute,
    charbonnier_penalty,
    mean_per_image,
    power_penalty,
    sum_over_positions,
)
from keras_perceptual.ops.image_gradients import (
    OPERATORS,
    PADDINGS,
    check_image_size,
    gradient_magnitude,
    image_gradients,
    laplacian,
    normal_distance,
    smallest_side,
)
from keras_perceptual.ops.log_space import log_with_tangent
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
from keras_perceptual.typing import (
    Components,
    DataFormat,
    Downsampling,
    DType,
    EdgeMode,
    EdgeNorm,
    EdgeOperator,
    EdgePreset,
    Padding,
    RangePolicy,
    Reduction,
    Shape,
    Tensor,
    ValueRange,
)
from keras_perceptual.validation import Checker

NORMS = {"l1": 1, "l2": 2}
MODES = ("component", "magnitude", "gdl", "angle")
# Operators that tell how a slope changes, and not which way it goes.
UNDIRECTED = ("laplacian", "laplacian_pyramid")
# What is compared of slopes that have two components as one.
PAIRED = ("magnitude", "angle")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SobelDistance(PixelDistance):
    """Compares the slopes of images, at one scale or more."""

    norm: EdgeNorm
    operator: EdgeOperator
    mode: EdgeMode
    scales: int
    downsampling: Downsampling
    components: Components
    normalize: bool
    log_space: bool
    padding: Padding
    epsilon: float

    takes_mask = True
    hides_pixels = True
    no_map: ClassVar[str | None] = None

    @_backend.as_written
    def measure(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Returns the distance of each pair of images."""
        # Shapes of images that reach `call` agree, but one of the two may
        # know a size that the other does not.
        for images in (y_true, y_pred):
            self._check_size(tuple(images.shape))
        compute = _backend.compile_in_graph(type(self)._compute, self)
        return compute(y_true, y_pred, mask)

    def map(
        self, true: Mapping[str, Tensor], pred: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns what each pixel adds at each scale."""
        self._check_size(tuple(pred["pixels"].shape))
        axis = -1 if self.data_format == "channels_last" else 1
        found = {}
        scales = self._look(true["pixels"], pred["pixels"])
        for scale, penalties in enumerate(scales, start=1):
            parts = [ops.mean(x, axis=axis) for x in penalties]
            share = len(parts) if self.components == "mean" else 1
            if len({tuple(x.shape) for x in parts}) > 1:
                # Without padding, each direction lacks rows of its own.
                rows, columns = (
                    min(x.shape[axis] for x in parts) for axis in (1, 2)
                )
                parts = [x[:, :rows, :columns] for x in parts]
            found[f"scale{scale}"] = sum(parts) / share
        return found

    def _compute(
        self, y_true: Tensor, y_pred: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Returns one value for each image, of images that fit together."""
        total = 0.0
        for scale, penalties in enumerate(self._look(y_true, y_pred)):
            if scale and mask is not None:
                mask = downsample_mask(mask, self.downsampling)
            if mask is None:
                values = list(map(mean_per_image, penalties))
            else:
                values = self._weighted_means(penalties, mask)
            share = len(values) if self.components == "mean" else 1
            total = total + sum(values) / share
        return total

    def _look(self, y_true: Tensor, y_pred: Tensor) -> list[Sequence[Tensor]]:
        """Returns the penalties of the slopes at each scale."""
        images = [y_pred, y_true]
        width = self.width
        if self.log_space:
            images = [log_with_tangent(x / width, self.epsilon) for x in images]
            width = 1
        if self.mode == "component":
            # The operators are linear: the difference of the slopes is the
            # slope of the difference, at half the work.
            images = [images[0] - images[1]]
        found = [self._compare_slopes(images, width)]
        for _ in range(self.scales - 1):
            images = [
                downsample(x, self.downsampling, self.padding, self.data_format)
                for x in images
            ]
            found.append(self._compare_slopes(images, width))
        return found

    @functools.cached_property
    def _smallest_side(self) -> int:
        """The least height and width that images may have."""
        needed = smallest_side(self.operator, self.padding)
        for _ in range(self.scales - 1):
            needed = smallest_side_before(
                needed, self.downsampling, self.padding
            )
        return needed

    def _check_size(self, shape: Shape) -> None:
        """Refuses images without a slope at the coarsest scale."""
        at_scales = f" at {self.scales} scales" if self.scales > 1 else ""
        check_image_size(
            self.owner,
            shape,
            self._smallest_side,
            data_format=self.data_format,
            condition=(
                f"operator={self.operator!r} with "
                f"padding={self.padding!r}{at_scales}"
            ),
        )

    def _compare_slopes(
        self, images: Sequence[Tensor], width: float
    ) -> Sequence[Tensor]:
        """Returns the penalties of the slopes at one scale."""
        slopes = [self._slopes(x) for x in images]
        if width != 1:
            slopes = [[x / width for x in group] for group in slopes]
        if self.mode == "component":
            (differences,) = slopes
        elif self.mode == "magnitude":
            pred, true = (
                gradient_magnitude(dy, dx, self.epsilon) for dy, dx in slopes
            )
            differences = [pred - true]
        elif self.mode == "angle":
            differences = [normal_distance(*slopes)]
        else:
            differences = [
                absolute(pred) - absolute(true)
                for pred, true in zip(*slopes, strict=True)
            ]
        return self._penalties(differences)

    def _slopes(self, images: Tensor) -> tuple[Tensor, ...]:
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

    def _weighted_means(
        self, penalties: Sequence[Tensor], mask: Tensor
    ) -> list[Tensor]:
        """Returns sums over what a mask shows, divided by its own sum."""
        mask = ops.cast(mask, penalties[0].dtype)
        weights = mask_slopes(mask, self.operator, self.padding)
        if len(penalties) < len(weights):
            weights = [functools.reduce(ops.minimum, weights)]
        area = center_mask(mask, self.operator, self.padding)
        area = sum_over_positions(area)
        # Without a pixel to be seen, the sum is zero, and the mean too.
        area = ops.where(area > 0, area, ops.ones_like(area))
        channels = -1 if self.data_format == "channels_last" else 1
        return [
            sum_over_positions(ops.mean(x, axis=channels) * weight) / area
            for x, weight in zip(penalties, weights, strict=True)
        ]

    def _penalties(self, differences: Sequence[Tensor]) -> list[Tensor]:
        """Returns what each difference costs."""
        if self.norm == "charbonnier":
            return [charbonnier_penalty(d, self.epsilon) for d in differences]
        exponent = NORMS[self.norm] if isinstance(self.norm, str) else self.norm
        return [power_penalty(d, exponent) for d in differences]


@keras.saving.register_keras_serializable(package="keras_perceptual")
@fill
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
        {loss_arguments}

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

    >>> import keras
    >>> import keras_perceptual as kp
    >>> both = kp.WeightedSumLoss(
    ...     {
    ...         "pixels": "mean_absolute_error",
    ...         "edges": (kp.SobelGradientLoss(), 0.05),
    ...     }
    ... )
    >>> model = keras.Sequential([keras.layers.Conv2D(3, 3, padding="same")])
    >>> model.compile("adam", both, metrics=[kp.LossTerms(both)])

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
        norm: EdgeNorm = "l1",
        *,
        operator: EdgeOperator = "sobel",
        mode: EdgeMode = "component",
        scales: int = 1,
        downsampling: Downsampling = "average",
        components: Components = "mean",
        normalize: bool = False,
        log_space: bool = False,
        padding: Padding = "reflect",
        epsilon: float = 1e-3,
        value_range: ValueRange = (0, 1),
        check_range: RangePolicy = "warn",
        data_format: DataFormat | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "sobel_gradient_loss",
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
        self.norm = _check_norm(check, norm)
        self.operator = check.choice(
            "operator", operator, (*OPERATORS, *UNDIRECTED)
        )
        self.mode = check.choice("mode", mode, MODES)
        self.scales = check.integer(
            "scales",
            scales,
            minimum=1,
            maximum=validation.MOST_SCALES,
        )
        self.downsampling = check.choice(
            "downsampling", downsampling, DOWNSAMPLINGS
        )
        self.components = check.choice(
            "components", components, ("mean", "sum")
        )
        self.normalize = check.boolean("normalize", normalize)
        self.log_space = check.boolean("log_space", log_space)
        self.padding = check.choice("padding", padding, PADDINGS)
        self.epsilon = check.number("epsilon", epsilon, above=0)
        if self.operator in UNDIRECTED and self.mode in PAIRED:
            raise ValueError(
                f"{check.owner} needs the slopes along height and width for "
                f"mode={mode!r}, and a Laplacian has none. Use mode='gdl' to "
                "compare absolute values, or another operator. "
                f"Received: operator={operator!r}, mode={mode!r}"
            )
        if self.operator == "laplacian_pyramid" and self.padding == "valid":
            raise ValueError(
                f"{check.owner} enlarges images to their size again for "
                "operator='laplacian_pyramid', which needs pixels beyond the "
                "border. Use padding='reflect' or padding='replicate'. "
                f"Received: padding={padding!r}"
            )
        if self.log_space and self.value_range[0] < 0:
            raise ValueError(
                f"{check.owner} takes the logarithm of values that are not "
                "negative. Pass the range of the depths as `value_range`, for "
                "example (0, 10), or leave out `log_space`. "
                f"Received: value_range={value_range!r}"
            )
        self._distance = SobelDistance.of(self)

    @classmethod
    def preset(cls, name: EdgePreset, **overrides: Any) -> Self:
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
        Checker(f"{cls.__name__}.preset").choice("name", name, EDGE_PRESETS)
        return cls(**{**EDGE_PRESETS[name], **overrides})


def _check_norm(check: Checker, norm: EdgeNorm) -> EdgeNorm:
    """Returns the name of a norm, or an exponent as a float."""
    names = (*NORMS, "charbonnier")
    if isinstance(norm, str):
        return check.choice("norm", norm, names)
    is_number = isinstance(norm, numbers.Real) and not isinstance(norm, bool)
    if not is_number or not 1 <= norm <= sys.float_info.max:
        raise ValueError(
            f"{check.owner} needs `norm` to be one of {list(names)}, or a "
            "finite number of at least 1, to whose power differences are "
            "raised; below 1, equal images would have no gradient. Received: "
            f"norm={validation.show(norm)}"
        )
    return float(norm)
