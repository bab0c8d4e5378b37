"""First and second derivatives of images along height and width.

Also what they rest on: the axes of images, and how these go on beyond their
border.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import keras
from keras import ops

from keras_perceptual import _backend
from keras_perceptual.image_validation import shape_and_dtype
from keras_perceptual.typing import (
    ArrayLike,
    DataFormat,
    EdgeOperator,
    Padding,
    Shape,
    SlopeOperator,
    Tensor,
)
from keras_perceptual.validation import Checker

# The smallest height and width that each padding can continue by one pixel.
PADDINGS = {"reflect": 2, "replicate": 1, "valid": 0}


class Operator(NamedTuple):
    """A difference along one axis, smoothed along the other.

    Args:
        smoothing: The three weights along the other axis, or `None` for no
            smoothing.
        weight: What the operator makes of a ramp of slope one.
        reach: How many pixels it looks back, and how many ahead.
    """

    smoothing: tuple[int, int, int] | None
    weight: int
    reach: tuple[int, int]


OPERATORS = {
    "sobel": Operator((1, 2, 1), 8, (1, 1)),
    "scharr": Operator((3, 10, 3), 32, (1, 1)),
    "prewitt": Operator((1, 1, 1), 6, (1, 1)),
    "central": Operator(None, 2, (1, 1)),
    "forward": Operator(None, 1, (0, 1)),
}


def image_gradients(
    images: ArrayLike,
    operator: SlopeOperator = "sobel",
    *,
    normalize: bool = False,
    padding: Padding = "reflect",
    data_format: DataFormat | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns how steeply images rise along their height and their width.

    With the defaults this is `tf.image.sobel_edges`, border included, on every
    backend.

    Args:
        images: Batch of images with any number of channels; integers are cast
            to `keras.config.floatx()`.
        operator: `"sobel"`, `"scharr"`, `"prewitt"` (smoothed central
            differences), `"central"` (`x[i + 1] - x[i - 1]`) or `"forward"`
            (`x[i + 1] - x[i]`). Defaults to `"sobel"`.
        normalize: Boolean, whether a ramp that rises by `s` a pixel gives `s`
            and not `s` times the weight of the operator (8 for Sobel, 32 for
            Scharr, 6 for Prewitt, 2 for central differences). Defaults to
            `False`.
        padding: How an image goes on beyond its border: `"reflect"` mirrors it
            without repeating the edge, `"replicate"` repeats the edge, and with
            `"valid"` it does not: only pixels for which neither component
            needs one from beyond are returned. Defaults to `"reflect"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        Pair of tensors `(dy, dx)`, shaped as the images but for the rows and
        columns that `padding="valid"` drops.

    Raises:
        ValueError: If an argument is unknown, or if the images are smaller
            than the operator needs.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual import ops
    >>> ramp = np.arange(5.0, dtype="float32").reshape(1, 1, 5, 1)
    >>> ramp = np.repeat(ramp, 4, axis=1)
    >>> dy, dx = ops.image_gradients(ramp)
    >>> keras.ops.convert_to_numpy(dx)[0, 0, :, 0].tolist()
    [0.0, 8.0, 8.0, 8.0, 0.0]
    """
    owner = "image_gradients"
    Checker(owner).choice("operator", operator, OPERATORS)
    kind = OPERATORS[operator]
    dy, dx = _correlate_images(
        owner,
        images,
        lambda x, step: _correlate(x, kind, step),
        lambda gradients, step: _transpose(gradients, kind, step),
        kind.reach,
        needed=smallest_side(operator, padding),
        padding=padding,
        data_format=data_format,
    )
    return (dy / kind.weight, dx / kind.weight) if normalize else (dy, dx)


def laplacian(
    images: ArrayLike,
    *,
    padding: Padding = "reflect",
    data_format: DataFormat | None = None,
) -> Tensor:
    """Returns the sum of the second derivatives of images.

    Each pixel's four neighbors minus four times itself: 0 on a ramp, and of
    opposite signs on the two sides of an edge.

    Args:
        images: Batch of images with any number of channels; integers are cast
            to `keras.config.floatx()`.
        padding: How an image goes on beyond its border, as for
            `image_gradients`. Defaults to `"reflect"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.

    Returns:
        Tensor shaped as the images; with `padding="valid"`, without the first
        and the last row and column.

    Raises:
        ValueError: If an argument is unknown, or if the images are smaller
            than the operator needs.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual import ops
    >>> edge = np.float32([0, 0, 1, 1]).reshape(1, 1, 4, 1).repeat(4, axis=1)
    >>> keras.ops.convert_to_numpy(ops.laplacian(edge))[0, 0, :, 0].tolist()
    [0.0, 1.0, -1.0, 0.0]

    Reference:
        `skimage.filters.laplace` gives its negative, with the edge repeated,
        and `kornia.filters.laplacian` has a kernel of nine numbers.
    """
    (found,) = _correlate_images(
        "laplacian",
        images,
        _second_differences,
        _transpose_second_differences,
        reach_of("laplacian"),
        needed=smallest_side("laplacian", padding),
        padding=padding,
        data_format=data_format,
    )
    return found


def floating(images: ArrayLike) -> Tensor:
    """Returns images as a tensor; integers are cast to the default type."""
    images = ops.convert_to_tensor(images)
    if keras.backend.is_float_dtype(images.dtype):
        return images
    return ops.cast(images, keras.config.floatx())


def spatial_axes(data_format: DataFormat) -> tuple[int, int]:
    """Returns the axis of the height and that of the width."""
    return (1, 2) if data_format == "channels_last" else (2, 3)


def pad_axes(
    x: Tensor, before: int, after: int, padding: Padding, axes: tuple[int, int]
) -> Tensor:
    """Continues a tensor along some of its axes.

    Args:
        x: Tensor of any shape.
        before: Integer, how many rows to add in front.
        after: Integer, how many rows to add behind.
        padding: `"reflect"` mirrors without repeating the edge,
            `"replicate"` repeats the edge, and `"valid"` adds nothing.
        axes: The axes to continue.

    Returns:
        Tensor of the type of `x`.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_perceptual.ops.image_gradients import pad_axes
    >>> x = np.array([1.0, 2.0, 3.0], "float32")
    >>> keras.ops.convert_to_numpy(pad_axes(x, 2, 0, "reflect", [0])).tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0]
    """
    if padding == "valid":
        return x
    widths = [(0, 0)] * len(x.shape)
    if padding == "reflect":
        for axis in axes:
            widths[axis] = (before, after)
        return ops.pad(x, widths, mode="reflect")
    # By one row, "symmetric" is the edge repeated; not every backend has a
    # padding that is called so.
    for i in range(max(before, after)):
        for axis in axes:
            widths[axis] = (int(i < before), int(i < after))
        x = ops.pad(x, widths, mode="symmetric")
    return x


def crop(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Leaves out rows at the two ends of an axis."""
    return x[along(x, axis, slice(before, -after if after else None))]


def along(x: Tensor, axis: int, part: slice) -> tuple[slice, ...]:
    """Returns the index that takes a part of one axis and all of the rest."""
    return tuple(
        part if i == axis else slice(None) for i in range(len(x.shape))
    )


def gradient_magnitude(
    dy: ArrayLike, dx: ArrayLike, epsilon: float = 0.0
) -> Tensor:
    """Returns the steepness, `sqrt(dy**2 + dx**2 + epsilon**2)`.

    Args:
        dy: Tensor, the slopes along the height.
        dx: Tensor of the same shape, the slopes along the width.
        epsilon: Float. What is added under the square root; above zero it
            keeps the derivative finite where an image is flat. Defaults to 0.

    Returns:
        A tensor shaped as `dy`.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual import ops
    >>> float(ops.gradient_magnitude(np.float32([3]), np.float32([4]))[0])
    5.0
    """
    return ops.sqrt(ops.square(dy) + ops.square(dx) + epsilon * epsilon)


def normal_distance(
    slopes: Iterable[Tensor], other: Iterable[Tensor]
) -> Tensor:
    """Compares the directions that two surfaces face.

    Images are taken as heights, whose normals are `(-dx, -dy, 1)`.

    Args:
        slopes: Pair of tensors `(dy, dx)` of one surface.
        other: Pair of tensors `(dy, dx)` of the other.

    Returns:
        Tensor shaped as `dy`: one minus the cosine of the angle between the
        normals, from 0 to 2. It keeps its digits where they are almost equal.

    Example:

    >>> import numpy as np
    >>> from keras_perceptual.ops.image_gradients import normal_distance
    >>> flat, steep = np.float32([0]), np.float32([1])
    >>> round(float(normal_distance((flat, flat), (flat, steep))[0]), 6)
    0.292893
    """
    y, x, v, u = map(ops.convert_to_tensor, (*slopes, *other))
    squares = 1 + ops.square(y) + ops.square(x)
    squares = squares * (1 + ops.square(v) + ops.square(u))
    cosine = (1 + y * v + x * u) / ops.sqrt(squares)
    # The square of the sine, from the cross product of the normals.
    cross = ops.square(y - v) + ops.square(x - u) + ops.square(y * u - x * v)
    acute = cross / squares / (1 + ops.maximum(cosine, 0))
    return ops.where(cosine > 0, acute, 1 - cosine)


def reach_of(operator: EdgeOperator) -> tuple[int, int]:
    """Returns how many pixels an operator looks back, and how many ahead."""
    # A Laplacian, which is not in the table, looks at its neighbors.
    return OPERATORS[operator].reach if operator in OPERATORS else (1, 1)


def smallest_side(operator: EdgeOperator, padding: Padding) -> int:
    """Returns the least height and width that an operator can do with."""
    if padding == "valid":
        return sum(reach_of(operator)) + 1
    if padding == "reflect" and operator == "laplacian_pyramid":
        return 3
    return PADDINGS.get(padding, 1)


def check_image_size(
    owner: str,
    shape: Shape,
    needed: int,
    *,
    data_format: DataFormat,
    condition: str,
) -> None:
    """Refuses images too small to have a slope.

    Args:
        owner: Name of the object that asks, for the message.
        shape: Static shape of the images; `None` is an unknown size.
        needed: The least height and width.
        data_format: Where the channels are.
        condition: What asks for that many pixels, for the message.
    """
    if len(shape) != 4:
        raise ValueError(
            f"{owner} takes the slopes of a batch of images, of four axes. "
            "Add the missing axis, for example with "
            f"`keras.ops.expand_dims`. Received: images of shape {shape}"
        )
    sizes = [shape[axis] for axis in spatial_axes(data_format)]
    if any(size is not None and size < needed for size in sizes):
        raise ValueError(
            f"{owner} needs images at least {needed} pixels high and wide for "
            f"{condition}. Pass larger images"
            + (", or take fewer scales. " if "scales" in condition else ". ")
            + f"Received: images of shape {shape} in {data_format!r}"
        )


def _correlate_images(
    owner: str,
    images: ArrayLike,
    correlate: Callable[[Tensor, int], tuple[Tensor, ...]],
    transpose: Callable[[tuple[Tensor, ...], int], tuple[Tensor, ...]],
    reach: tuple[int, int],
    *,
    needed: int,
    padding: Padding,
    data_format: DataFormat | None,
) -> tuple[Tensor, ...]:
    """Continues images and applies operators to them, linear ones.

    Args:
        owner: Name of the function that asks, for the messages.
        images: Batch of images.
        correlate: Function of a tensor of three axes and the distance of two
            pixels along its last, that returns a tuple of tensors.
        transpose: Its transpose, a function of a tuple and that distance.
        reach: How many pixels the operators look back, and how many ahead.
        needed: The least height and width.
        padding: Name of the padding.
        data_format: Where the channels are.
    """
    Checker(owner).choice("padding", padding, PADDINGS)
    data_format = Checker(owner).data_format(data_format)
    check_image_size(
        owner,
        shape_and_dtype(images)[0],
        needed,
        data_format=data_format,
        condition=f"padding={padding!r}",
    )
    images = floating(images)
    height_axis, width_axis = axes = spatial_axes(data_format)
    images = pad_axes(images, *reach, padding, axes)
    shape = list(ops.shape(images))
    # Three axes are enough: in memory a pixel's right neighbor is `step`
    # numbers further on.
    step = shape[-1] if data_format == "channels_last" else 1
    flat = ops.reshape(
        images, (-1, shape[height_axis], shape[width_axis] * step)
    )
    components = _backend.apply_linear(
        lambda x: correlate(x, step),
        lambda *gradients: transpose(gradients, step),
        flat,
    )
    for axis in axes:
        shape[axis] -= sum(reach)
    return tuple(ops.reshape(x, shape) for x in components)


def _correlate(
    x: Tensor, operator: Operator, step: int
) -> tuple[Tensor, Tensor]:
    """Returns `(dy, dx)` of rows of pixels that are `step` numbers apart."""
    return (
        _component(x, operator, axis=1, steps=(1, step)),
        _component(x, operator, axis=2, steps=(1, step)),
    )


def _transpose(
    gradients: tuple[Tensor, ...], operator: Operator, step: int
) -> tuple[Tensor]:
    """Returns the transpose of `_correlate`, a tuple of one tensor.

    The transpose of a correlation is the correlation with the kernel turned
    by half a turn, over zeros. Smoothing is the same either way round, and
    a difference changes its sign.
    """
    turned = operator._replace(reach=operator.reach[::-1])
    far = sum(operator.reach)
    widths = ((0, 0), (far, far), (far * step, far * step))
    dy, dx = (ops.pad(gradient, widths) for gradient in gradients)
    steps = (1, step)
    return (
        _component(dy, turned, axis=1, steps=steps, falling=True)
        + _component(dx, turned, axis=2, steps=steps, falling=True),
    )


def _component(
    x: Tensor,
    operator: Operator,
    axis: int,
    steps: tuple[int, int],
    falling: bool = False,
) -> Tensor:
    """Returns the difference along one axis, smoothed along the other."""
    far = sum(operator.reach) * steps[axis - 1]
    other, step = 3 - axis, steps[2 - axis]
    kept = slice(None)
    if operator.smoothing is None:
        # In one slice with the ends, as each may be a copy.
        before, after = operator.reach
        kept = slice(before * step, -after * step or None)
    behind, ahead = (
        x[(slice(None), *((end, kept) if axis == 1 else (kept, end)))]
        for end in (slice(None, -far), slice(far, None))
    )
    x = behind - ahead if falling else ahead - behind
    if operator.smoothing is None:
        return x
    side, middle, _ = operator.smoothing
    sides = crop(x, other, 0, 2 * step) + crop(x, other, 2 * step, 0)
    center = crop(x, other, step, step)
    sides = sides if side == 1 else sides * side
    center = center if middle == 1 else center * middle
    return sides + center


def _second_differences(x: Tensor, step: int) -> tuple[Tensor]:
    """Returns the Laplacian, a tuple of one tensor."""
    inner = crop(crop(x, 1, 1, 1), 2, step, step)
    rows, columns = crop(x, 2, step, step), crop(x, 1, 1, 1)
    vertical = crop(rows, 1, 2, 0) + crop(rows, 1, 0, 2)
    horizontal = crop(columns, 2, 2 * step, 0) + crop(columns, 2, 0, 2 * step)
    return (vertical + horizontal - 4 * inner,)


def _transpose_second_differences(
    gradients: tuple[Tensor, ...], step: int
) -> tuple[Tensor]:
    """Returns the transpose: the kernel is the same turned by half a turn."""
    (gradient,) = gradients
    widths = ((0, 0), (2, 2), (2 * step, 2 * step))
    return _second_differences(ops.pad(gradient, widths), step)
