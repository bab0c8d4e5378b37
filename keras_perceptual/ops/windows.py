"""Looking at large images through windows, one after the other.

A convolutional network sees the same through a window as in the whole image,
but near the sides of the window that are not sides of the image. Windows
therefore overlap, and each position of a layer belongs to the one window that
sees all that matters to it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_perceptual import _backend
from keras_perceptual.typing import Tensor

# Windows start at multiples of the largest distance, in pixels, between the
# positions of a layer, so that their positions are among those of the image.
STEP = 16

# How far from a side of a window positions do not count, in pixels: more than
# half of what a position of relu5_3 of VGG16 sees, also with pooling "l2".
HALO = 112

# The smallest windows that leave something between the two.
SMALLEST = 2 * HALO + 2 * STEP


def fold_windows(
    function: Callable[
        [Any, list[Tensor], Callable[[int, int, int], Tensor]], Any
    ],
    state: Any,
    images: Sequence[Tensor],
    size: int,
) -> Any:
    """Applies a function to windows of two images, one after the other.

    Args:
        function: Function of the state, of the windows in both images, and of
            `own`, that returns the new state. `own(rows, columns, stride)`
            returns which positions of a layer belong to the window: a float32
            tensor of ones and zeros, shaped `(1, rows, columns)`.
        state: Nested structure of tensors, whose shapes and types stay.
        images: Two tensors shaped `(batch, height, width, channels)`.
        size: Integer, at least `SMALLEST`: the largest height and width of a
            window.

    Returns:
        The state after the last window.
    """
    batch, height, width, channels = ops.shape(images[0])
    rows, columns = _Windows(height, size), _Windows(width, size)

    def look(index: Tensor, state: Any) -> Any:
        row, column = index // columns.count, index % columns.count
        start = ops.stack([0, rows.start(row), columns.start(column), 0])
        shape = (batch, rows.length, columns.length, channels)
        windows = [ops.slice(x, start, shape) for x in images]

        def own(
            height: int | Tensor, width: int | Tensor, stride: int
        ) -> Tensor:
            down = rows.own(row, height, stride)
            along = columns.own(column, width, stride)
            both = ops.expand_dims(down, 1) & ops.expand_dims(along, 0)
            return ops.cast(ops.expand_dims(both, 0), "float32")

        return function(state, windows, own)

    return _backend.fold(look, rows.count * columns.count, state)


class _Windows:
    """The windows along one axis of an image.

    All are of the same length, and the last one ends where the image does.

    Args:
        side: Length of the image, an integer or an integer scalar tensor.
        size: Largest length of a window.
    """

    def __init__(self, side: int | Tensor, size: int) -> None:
        multiple = size // STEP * STEP - STEP
        length = multiple + side % STEP
        if isinstance(side, int):
            self.length = side if side <= size else length
        else:
            self.length = ops.where(side <= size, side, length)
        self._side = side
        self._last = side - self.length
        self._advance = multiple - 2 * HALO
        self.count = -(-self._last // self._advance) + 1

    def start(self, index: Tensor) -> Tensor:
        """Returns where a window begins."""
        return ops.minimum(index * self._advance, self._last)

    def own(
        self, index: Tensor, positions: int | Tensor, stride: int
    ) -> Tensor:
        """Returns whether each position of a layer belongs to a window."""
        start = self.start(index)
        places = start + stride * ops.arange(positions, dtype="int32")
        begin = ops.where(index == 0, 0, start + HALO)
        following = self.start(index + 1) + HALO
        end = ops.where(index == self.count - 1, self._side, following)
        return (places >= begin) & (places < end)
