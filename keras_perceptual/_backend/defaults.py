"""What runs on every backend of Keras, also on one that nobody thought of."""

import contextlib
import functools
import sys
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar

import keras
import numpy as np
from keras import ops

from keras_perceptual.typing import DataFormat, Extrapolation, Tensor

__all__ = [
    "apply_linear",
    "as_written",
    "call_when",
    "choose",
    "clamp",
    "compile_in_graph",
    "compile_pointwise",
    "filter_axis",
    "filter_images",
    "fold",
    "frozen_call",
    "halve",
    "hann_blur",
    "has_values",
    "is_chief",
    "is_everywhere",
    "is_exporting",
    "looking",
    "read_blended",
    "replica_count",
    "replica_rows",
    "replica_total",
    "take",
    "take_every_second",
    "watch_gradients",
]

State = TypeVar("State")
LinearMap: TypeAlias = Callable[..., tuple[Tensor, ...]]


class Locator(Protocol):
    """A `CubePlaces`: finds the entries that colors are blended from."""

    @property
    def extrapolate(self) -> Extrapolation:
        """How it goes on beyond the ends of the table."""

    def __call__(self, colors: Tensor) -> Any:
        """Returns the `Places` of colors."""

    def of_channels(self, channels: list[Tensor]) -> Any:
        """Returns the `Places` of colors given by their channels."""


Function = TypeVar("Function", bound=Callable[..., Any])


def as_written(function: Function) -> Function:
    """Returns a function of the package that nobody need rewrite to trace it.

    Args:
        function: Function that calls no code of a user.
    """
    return function


# Tensors, and small steps that backends differ in.


def has_values(x: Tensor) -> bool:
    """Whether the numbers of `x` can be read now, outside any trace."""
    try:
        ops.convert_to_numpy(x)
    except Exception:
        # Each backend refuses with an error of its own.
        return False
    return True


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    """Moves what lies outside a range to its end, with the slope 1 there."""
    # The slope of `clip` at the ends is a half on JAX.
    return ops.where(x < low, low, ops.where(x > high, high, x))


def choose(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Returns `yes` where a condition holds and `no` elsewhere, both finite."""
    return ops.where(condition, yes, no)


def take(table: Tensor, index: Tensor) -> Tensor:
    """Returns the entries of `table` at integers that lie inside it."""
    return ops.take(table, index, axis=0)


def take_every_second(x: Tensor, axes: tuple[int, int]) -> Tensor:
    """Returns every second row of two neighboring axes, from the first on."""
    for axis in axes:
        x = x[(slice(None),) * axis + (slice(None, None, 2),)]
    return x


def halve(x: Tensor, axes: tuple[int, int]) -> Tensor:
    """Returns the means of two by two numbers along two neighboring axes.

    The last row of an odd number of them is left out.
    """
    for axis in axes:
        before = (slice(None),) * axis
        odd = x[(*before, slice(1, None, 2))]
        even = x[(*before, slice(0, None, 2))]
        even = even[(*before, slice(0, ops.shape(odd)[axis]))]
        x = (even + odd) * 0.5
    return x


# Arithmetic.


def read_blended(places: Locator, colors: Tensor, tables: Tensor) -> Tensor:
    """Returns what the entries that each color needs blend to.

    Args:
        places: `CubePlaces`.
        colors: Tensor of shape `(..., 3)`.
        tables: Tensor of shape `(entries, width)`, a table for all colors, or
            `(count, entries, width)`, one for each of their first axis.

    Returns:
        A tensor of shape `(..., width)`.
    """
    # A gather from the flat table: its gradient comes back through the
    # reshape as a dense tensor, which optimizers treat as they should.
    rows = ops.reshape(tables, (-1, tables.shape[-1]))
    found = places(colors)
    start = 0
    if len(tables.shape) == 3:
        count, entries, _ = ops.shape(tables)
        start = ops.arange(0, count, dtype="int32") * entries
        start = ops.reshape(start, (-1, *(1 for _ in colors.shape[1:-1])))
    return found.blend([take(rows, index + start) for index in found.indices])


def apply_linear(
    forward: LinearMap, transpose: LinearMap, *inputs: Tensor
) -> tuple[Tensor, ...]:
    """Returns `forward(*inputs)`, whose gradient is `transpose`.

    Args:
        forward: Function of tensors that returns a tuple of tensors and is
            linear in them.
        transpose: The transposed map, the other way round. What finds the
            gradient by itself does not need it.
        *inputs: Tensors.
    """
    del transpose
    return forward(*inputs)


def filter_axis(images: Tensor, windows: np.ndarray, axis: int) -> list[Tensor]:
    """Applies windows to each channel along one axis, within bounds.

    Args:
        images: Tensor of shape `(batch, height, width, channels)`.
        windows: NumPy array of shape `(length, count)`.
        axis: Integer, 1 for the height or 2 for the width.

    Returns:
        List of as many tensors as there are windows, with `length - 1` rows or
        columns less.
    """
    length, count = windows.shape
    channels = images.shape[-1]
    sides = (length, 1) if axis == 1 else (1, length)
    kernel = np.reshape(windows, (*sides, 1, count))
    kernel = np.tile(kernel, (1, 1, channels, 1))
    found = ops.depthwise_conv(
        images,
        ops.convert_to_tensor(kernel, dtype=images.dtype),
        padding="valid",
        data_format="channels_last",
    )
    if count == 1:
        return [found]
    found = ops.reshape(found, (*ops.shape(found)[:3], channels, count))
    return ops.unstack(found, count, axis=-1)


def filter_images(images: Tensor, window: np.ndarray) -> Tensor:
    """Averages each channel with a window along both axes, within bounds.

    Args:
        images: Tensor of shape `(batch, height, width, channels)`.
        window: NumPy array of shape `(length,)`.

    Returns:
        Tensor with `length - 1` rows and columns less.
    """
    window = ops.cast(window, images.dtype)
    channels = ops.shape(images)[-1]
    for height, width in ((-1, 1), (1, -1)):
        kernel = ops.reshape(window, (height, width, 1, 1))
        kernel = ops.tile(kernel, (1, 1, channels, 1))
        images = ops.depthwise_conv(
            images, kernel, padding="valid", data_format="channels_last"
        )
    return images


def hann_blur(
    x: Tensor, strides: int | tuple[int, int], data_format: DataFormat
) -> Tensor:
    """Averages each channel under the window `[1, 2, 1] / 4`, both ways.

    Beyond the border are zeros. Of a side of `n` it leaves
    `ceil(n / stride)`.

    Args:
        x: Batch of feature maps.
        strides: Integer, or a pair for height and width.
        data_format: Where the channels are.
    """
    border = [[0, 0], [1, 1], [1, 1]]
    border.insert(3 if data_format == "channels_last" else 1, [0, 0])
    channels = x.shape[-1 if data_format == "channels_last" else 1]
    window = np.array([0.25, 0.5, 0.25])
    kernel = np.tile(
        np.outer(window, window)[:, :, None, None], (1, 1, channels, 1)
    )
    return ops.depthwise_conv(
        ops.pad(x, border),
        ops.convert_to_tensor(kernel, dtype=x.dtype),
        strides,
        padding="valid",
        data_format=data_format,
    )


# How things are run.


def frozen_call(network: keras.Model) -> Callable[[Tensor], Any]:
    """Returns a function that does what calling a model for inference does.

    Args:
        network: A model that nobody else uses: its layers may be changed.
    """
    return functools.partial(network, training=False)


def compile_in_graph(
    function: Callable[..., Tensor], *settings: Hashable
) -> Callable[..., Tensor]:
    """Returns a function with its settings, compiled where that helps.

    Args:
        function: Function of `settings` and tensors or `None`, which returns
            tensors. It must not call back to Python.
        *settings: Its first arguments, which can be hashed. What was compiled
            for a function and equal settings is used again.
    """
    return functools.partial(function, *settings)


def compile_pointwise(
    function: Callable[..., Tensor], *settings: Hashable, own: bool = False
) -> Callable[..., Tensor]:
    """Returns a function with its settings, compiled where that helps.

    Args:
        function: Function of `settings`, points of shape `(..., width)` and
            tables, which returns `(..., any width)`: each point is mapped by
            itself. For what is asked of it, see `compile_in_graph`.
        *settings: Its first arguments, which can be hashed.
        own: Whether the first table is one for each of the points' first axis.
    """
    del own
    return functools.partial(function, *settings)


def fold(
    function: Callable[[Tensor, State], State],
    count: int | Tensor,
    state: State,
) -> State:
    """Returns `function(index, state)`, applied for each index in turn.

    Args:
        function: Function of an integer, or an integer scalar tensor, and the
            state.
        count: Integer, or integer scalar tensor.
        state: Nested structure of tensors, whose shapes and types stay.

    Returns:
        The state after the last turn.
    """
    return ops.fori_loop(0, count, function, state)


# What of Keras makes programs that run elsewhere.
EXPORTERS = (keras.export.ExportArchive.__module__.rpartition(".")[0],)


def runs_in(*modules: str, function: str | None = None) -> bool:
    """Whether a function of some modules is running.

    Args:
        *modules: Beginnings of their names.
        function: Optional name of a function of any module that counts, too.
    """
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(modules) or frame.f_code.co_name == function:
            return True
        frame = frame.f_back
    return False


def is_exporting(x: Tensor) -> bool:
    """Whether `x` belongs to a program that is to run elsewhere."""
    return False


def call_when(
    condition: Tensor,
    function: Callable[[np.ndarray], None],
    values: Tensor,
    state: dict[str, Any],
) -> None:
    """Calls `function` with an array of `values` where `condition` holds.

    Inside a trace nobody is called, unless the backend can do that.

    Args:
        condition: Boolean scalar tensor.
        function: Function of one NumPy array; what it raises stops the step.
        values: Tensor of a few numbers.
        state: Dictionary in which a backend may keep what it needs from one
            trace to the next.
    """
    if has_values(condition) and bool(condition):
        function(ops.convert_to_numpy(values))


def watch_gradients(
    function: Callable[[list[Tensor]], tuple[Tensor, State]],
    x: Tensor,
    count: int,
    tell: Callable[[list[Tensor]], None],
) -> tuple[Tensor, State]:
    """Returns what a function makes of some copies of a tensor.

    Where a gradient is taken of the result, `tell` is called with the gradient
    at each copy, all multiplied by the same factor. Nobody is called where none
    is taken, as in an evaluation. The gradient itself stays as it is.

    Args:
        function: Function of a list of tensors, which returns a scalar tensor
            and a structure of other tensors, of which no gradient is taken.
        x: Floating-point tensor.
        count: Integer, the number of copies.
        tell: Function of a list of `count` tensors, shaped as `x`.
    """
    del tell
    return function([x] * count)


# The devices and processes of one training.


def replica_count() -> int:
    """Returns among how many devices the batch of a step is shared out."""
    return 1


def replica_total(x: Tensor) -> Tensor | None:
    """Returns the sum of a tensor over all devices, of all machines.

    Every device has to ask. `None` where there is nothing to add up.
    """
    return None


def replica_rows(x: Tensor) -> Tensor:
    """Returns the rows that all devices have, those of one after another.

    Every device has to ask.
    """
    return x


def is_everywhere(variable: keras.Variable) -> bool:
    """Whether every device has a copy of a variable that it can change."""
    return True


def is_chief(model: keras.Model) -> bool:
    """Whether this process is the one of several that writes files."""
    return True


@contextlib.contextmanager
def looking(model: keras.Model) -> Iterator[None]:
    """Has a model predict in between without what that leaves behind."""
    yield
