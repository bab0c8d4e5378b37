"""What JAX does in ways of its own, and why.

Ratios are the processor time of the default by that of the override, compiled
on a CPU, as `benchmarks/backend_overrides.py` prints them.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import ops

from keras_perceptual._backend import defaults
from keras_perceptual._backend.defaults import Locator, State
from keras_perceptual.typing import DataFormat, Tensor

__all__ = [
    "call_when",
    "filter_axis",
    "filter_images",
    "hann_blur",
    "is_chief",
    "is_exporting",
    "read_blended",
    "watch_gradients",
]

# Colors to a block on a CPU: what is made of them stays in its cache.
BLOCK = 1 << 16
# What Keras's loss scaling begins with: gradients that are taken before a loss
# is scaled would be zero where they are computed in half precision.
SCALE = 2.0**15


def filter_axis(images: Tensor, windows: np.ndarray, axis: int) -> list[Tensor]:
    """Applies windows to each channel along one axis, within bounds."""
    # Speed: 11 for images of 128 pixels a side and 19 with the gradient, 1.8
    # and 3.2 for 1024, for the reason of `filter_images`.
    size = images.shape[axis]
    matrix = np.concatenate([band_matrix(x, size) for x in windows.T])
    found = ops.einsum(
        "oi,bi...->bo..." if axis == 1 else "oi,bhic->bhoc",
        ops.convert_to_tensor(matrix, images.dtype),
        images,
    )
    return ops.split(found, windows.shape[1], axis)


def filter_images(images: Tensor, window: np.ndarray) -> Tensor:
    """Averages each channel with a window along both axes, within bounds."""
    # Speed: 12 for images of 256 pixels a side, 3.6 for 1024. XLA's depthwise
    # convolutions are slower on a CPU than a matrix product with hundreds of
    # times the arithmetic.
    for axis, equation in ((1, "oi,bi...->bo..."), (2, "oi,bhic->bhoc")):
        matrix = band_matrix(window, images.shape[axis])
        images = ops.einsum(
            equation, ops.convert_to_tensor(matrix, images.dtype), images
        )
    return images


def band_matrix(window: np.ndarray, size: int) -> np.ndarray:
    """Returns the matrix that applies a window at each place within bounds.

    Args:
        window: NumPy array shaped `(length,)`.
        size: Integer, how many values it is applied to.

    Returns:
        NumPy array shaped `(size - length + 1, size)`.
    """
    places = np.arange(size - len(window) + 1)[:, None]
    matrix = np.zeros((len(places), size))
    matrix[places, places + np.arange(len(window))] = window
    return matrix


def hann_blur(
    x: Tensor, strides: int | tuple[int, int], data_format: DataFormat
) -> Tensor:
    """Averages each channel under the window `[1, 2, 1] / 4`, both ways.

    Beyond the border are zeros. Of a side of `n` it leaves
    `ceil(n / stride)`.
    """
    border = [[0, 0], [1, 1], [1, 1]]
    border.insert(3 if data_format == "channels_last" else 1, [0, 0])
    x = ops.pad(x, border)
    # Speed: 8 for 64 channels, and 39 with the gradient, for the same reason.
    # The window is the mean of two, taken twice.
    for step in (1, strides):
        x = ops.average_pool(
            x, 2, step, padding="valid", data_format=data_format
        )
    return x


def is_exporting(x: Tensor) -> bool:
    """Whether `x` belongs to a program that is to run elsewhere."""
    # Why: the default knows of no trace.
    return isinstance(x, jax.core.Tracer) and defaults.runs_in(
        "jax._src.export", "jax.experimental.jax2tf", *defaults.EXPORTERS
    )


def call_when(
    condition: Tensor,
    function: Callable[[np.ndarray], None],
    values: Tensor,
    state: dict[str, Any],
) -> None:
    """Calls `function` with an array of `values` where `condition` holds."""
    # Why: the default calls nobody from compiled code.
    values = jax.lax.stop_gradient(values)
    if not any(isinstance(x, jax.core.Tracer) for x in (condition, values)):
        if bool(condition):
            function(np.asarray(values))
        return
    if is_exporting(values):
        return

    def tell(wrong: Tensor, seen: Tensor) -> None:
        # Mapped over a batch, both branches are taken for all of it.
        if wrong:
            function(np.asarray(seen))

    jax.lax.cond(
        condition,
        lambda v: jax.debug.callback(tell, condition, v),
        lambda v: None,
        values,
    )


def watch_gradients(
    function: Callable[[list[Tensor]], tuple[Tensor, State]],
    x: Tensor,
    count: int,
    tell: Callable[[list[Tensor]], None],
) -> tuple[Tensor, State]:
    """Returns what a function makes of some copies of a tensor.

    Why: the default tells nobody, and nothing of what is known in a backward
    pass gets out of it. So the gradients are computed with the values, and the
    backward pass multiplies what is there.
    """
    if _times_differentiated(x) != 1:
        # The second derivative of what is multiplied here would be zero.
        return function([x] * count)
    held = jax.lax.stop_gradient(x)
    total, pull, others = jax.vjp(function, [held] * count, has_aux=True)
    # They are derived no further, by what a term itself may learn.
    (gradients,) = jax.lax.stop_gradient(pull(jnp.full_like(total, SCALE)))
    tell(gradients)
    return _with_gradient(x, total, sum(gradients)), others


def _times_differentiated(x: Tensor) -> int:
    """Returns how many times a gradient by `x` is being taken, 2 at most."""
    found = 0

    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def look(x: Tensor) -> Tensor:
        return x

    def forward(x: Tensor) -> tuple[Tensor, None]:
        nonlocal found
        found += 1
        return (look(x) if found < 2 else x), None

    look.defvjp(forward, lambda _, upstream: (upstream,))
    look(x)
    return found


@jax.custom_vjp  # type: ignore[untyped-decorator]
def _with_gradient(x: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
    """Returns `total`, whose gradient by `x` is `gradient / SCALE`."""
    return total


def _keep_gradient(
    x: Tensor, total: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    return total, gradient


def _hand_gradient(
    gradient: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, None]:
    return upstream / SCALE * gradient, upstream, None


_with_gradient.defvjp(_keep_gradient, _hand_gradient)


def is_chief(model: keras.Model) -> bool:
    """Whether this process is the one of several that writes files."""
    # Why: only JAX knows of the others.
    return jax.process_index() == 0


def read_blended(places: Locator, colors: Tensor, tables: Tensor) -> Tensor:
    """Returns what the entries that each color needs blend to.

    Speed: 2.7 for the gradient of eight entries, 1.2 to 1.7 of four, and more
    on a single core; 0.65 for the value alone. Only the colors and the tables
    are kept for the gradients, which find the entries and their shares again.

    On a CPU the colors are taken in blocks. XLA would otherwise compute all
    of this again for every number of whatever sums the result up.
    """
    if not all(isinstance(size, int) for size in colors.shape):
        # A trace that is to run elsewhere, for images of any size.
        return defaults.read_blended(places, colors, tables)
    tables = tables if tables.ndim == 3 else tables[None]
    count, _, width = tables.shape
    points = jnp.reshape(colors, (count, -1, 3))
    if count == 1:
        found = _read(places, points[0], tables[0])
    else:
        found = jax.vmap(functools.partial(_read, places))(points, tables)
    return jnp.reshape(found, (*colors.shape[:-1], width))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
@functools.partial(jax.jit, static_argnums=0)
def _read(places: Locator, points: Tensor, table: Tensor) -> Tensor:
    """Reads `(points, 3)` from `(entries, width)`."""

    def blend(points: Tensor) -> Tensor:
        found = places(points)
        return found.blend([_rows(table, i) for i in found.indices])

    return _joined(jax.lax.map(blend, _blocks(points)), points)


def _forward(
    places: Locator, points: Tensor, table: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    return _read(places, points, table), (points, table)


@functools.partial(jax.jit, static_argnums=0)
def _backward(
    places: Locator, kept: tuple[Tensor, Tensor], upstream: Tensor
) -> tuple[Tensor, Tensor]:
    points, table = kept
    width = table.shape[-1]
    # Rows of four numbers are added faster than rows of three.
    spare = 1 if width == 3 else 0

    def step(
        of_table: Tensor, block: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        points, upstream = block
        found = places(points)
        _, pull = jax.vjp(lambda x: places(x).fractions, points)
        padded = jnp.pad(upstream, ((0, 0), (0, spare)))
        of_weights = []
        for index, weight in zip(found.indices, found.weights(), strict=True):
            rows = _rows(table, index)
            # One by one: a sum over so short an axis is slow here.
            of_weights.append(
                sum(rows[:, i] * upstream[:, i] for i in range(width))
            )
            of_table = of_table.at[index].add(
                weight[:, None] * padded, mode="promise_in_bounds"
            )
        return of_table, pull(found.slopes(of_weights))[0]

    of_table, of_points = jax.lax.scan(
        step,
        jnp.zeros((len(table), width + spare), table.dtype),
        (_blocks(points), _blocks(upstream)),
    )
    return _joined(of_points, points), of_table[:, :width]


_read.defvjp(_forward, _backward)


def _blocks(x: Tensor) -> Tensor:
    """Returns `x` in blocks of one size, the last one filled with zeros."""
    if jax.default_backend() != "cpu":
        return x[None]
    blocks = max(1, -(-len(x) // BLOCK))
    size = -(-len(x) // blocks)
    x = jnp.pad(x, ((0, blocks * size - len(x)), (0, 0)))
    return x.reshape(blocks, size, x.shape[-1])


def _joined(blocks: Tensor, x: Tensor) -> Tensor:
    """Returns blocks as one, as long as `x`."""
    if blocks.shape[0] == 1:
        return blocks[0]
    return blocks.reshape(-1, blocks.shape[-1])[: len(x)]


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Returns rows that are known to be inside the table."""
    return table.at[index].get(mode="promise_in_bounds")
