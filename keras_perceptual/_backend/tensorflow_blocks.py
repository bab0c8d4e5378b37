"""Work on points in blocks of a few fixed sizes, each a compiled program.

XLA compiles anew for every shape. Images come in hundreds of them, and what is
computed point by point does not need to know: it is cut into blocks whose size
never changes, so that a few programs serve all images there are. The blocks lie
around the programs and not inside them, where XLA would compute what the
numbers of a point share once more for each of them.
"""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from keras import ops

from keras_perceptual._backend.tensorflow_surroundings import is_vectorized
from keras_perceptual.typing import Tensor

# Points to a block: large ones for most of an image, small ones for the rest,
# of which the last is filled up with zeros.
LARGE, SMALL = 1 << 16, 1 << 13


def compute_in_blocks(
    function: Callable[..., Tensor],
    settings: tuple[Hashable, ...],
    own: bool,
    points: Tensor,
    tables: Sequence[Tensor],
) -> Tensor:
    """Returns what points map to, computed in blocks, as its gradient is.

    Args:
        function: As for `blockwise`.
        settings: Its first arguments.
        own: Whether the first table is one for each image.
        points: Points of images, `(..., width)`.
        tables: The tables.
    """
    shapes = [x.shape for x in tables]
    if own:
        shapes[0] = (None, *shapes[0][1:])
    blocks = blockwise(
        function,
        settings,
        own,
        tf.TensorSpec((None, None, points.shape[-1]), points.dtype),
        *map(tf.TensorSpec, shapes, [x.dtype for x in tables]),
    )

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def read(
        *inputs: Tensor,
    ) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
        def gradient(upstream: Tensor) -> tuple[Tensor, ...]:
            if is_vectorized():
                return blocks.plain_backward(upstream, *inputs)
            return blocks.backward(upstream, *inputs)

        return blocks.forward(*inputs), gradient

    images = tf.shape(points)[0] if own else 1
    flat = tf.reshape(points, (images, -1, points.shape[-1]))
    found = read(flat, *tables)
    return ops.reshape(found, (*ops.shape(points)[:-1], found.shape[-1]))


class Blockwise(NamedTuple):
    """A function of points and tables, in blocks, and its gradient.

    Attributes:
        forward: Function of points and tables that returns what they map to.
        backward: Function of the gradient of the result, points and tables
            that returns the gradients of points and tables.
        plain_backward: The same without blocks.
    """

    forward: Callable[..., Tensor]
    backward: Callable[..., tuple[Tensor, ...]]
    plain_backward: Callable[..., tuple[Tensor, ...]]


@functools.lru_cache(maxsize=64)
def blockwise(
    function: Callable[..., Tensor],
    settings: tuple[Hashable, ...],
    own: bool,
    points: tf.TensorSpec,
    *tables: tf.TensorSpec,
) -> Blockwise:
    """Returns a function that is compiled once for any number of points.

    Args:
        function: Function of `settings`, points `(count, width)` and tables,
            that returns `(count, any width)`, a row for each point by itself.
        settings: Its first arguments.
        own: Whether the first table is one for each image.
        points: Type and shape, `(None, None, width)`, of the points of images.
        *tables: Types and shapes of the tables.
    """
    apply = functools.partial(function, *settings)

    def pull(upstream: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            found = apply(*inputs)
        return tuple(tape.gradient(found, inputs, upstream, "zero"))

    program, gradient = (
        tf.function(f, jit_compile=True, autograph=False) for f in (apply, pull)
    )
    inputs = [tf.TensorSpec((SMALL, points.shape[-1]), points.dtype), *tables]
    if own:
        inputs[1] = tf.TensorSpec(tables[0].shape[1:], tables[0].dtype)
    found = program.get_concrete_function(*inputs).structured_outputs
    result = tf.TensorSpec((None, None, found.shape[-1]), found.dtype)

    def forward(points: Tensor, *tables: Tensor) -> Tensor:
        def run(block: Tensor, *tables: Tensor) -> list[Tensor]:
            return [program(block, *tables)]

        return _walk(run, [points], tables, own, result)[0]

    def backward(
        upstream: Tensor, points: Tensor, *tables: Tensor
    ) -> tuple[Tensor, ...]:
        of_points, *totals = _walk(
            gradient, [upstream, points], tables, own, points
        )
        return of_points, *(
            total if own and i == 0 else tf.reduce_sum(total, axis=0)
            for i, total in enumerate(totals)
        )

    return Blockwise(
        tf.function(
            forward, input_signature=(points, *tables), autograph=False
        ),
        tf.function(
            backward,
            input_signature=(result, points, *tables),
            autograph=False,
        ),
        pull,
    )


def _walk(
    program: Callable[..., Sequence[Tensor]],
    arrays: Sequence[Tensor],
    tables: Sequence[Tensor],
    own: bool,
    result: tf.TensorSpec | Tensor,
) -> list[Tensor]:
    """Applies a program to the points of all images, block by block.

    Args:
        program: Function of a block of each array and the tables of an image
            that returns a row for each point, and what is to be added up for
            the tables, if anything.
        arrays: Tensors of shape `(images, count, width)`.
        tables: Tensors; of the first, each image has its own if `own`.
        own: Whether it does.
        result: What has the type and the width of the rows.

    Returns:
        List of the rows, `(images, count, width)`, and of the sums for the
        tables of each image, stacked.
    """
    images, count = tf.unstack(tf.shape(arrays[0])[:2])
    large = count // LARGE
    small = -((large * LARGE - count) // SMALL)
    width = result.shape[-1]
    adds = len(arrays) > 1

    def walk_image(image: Tensor, rows: Any, sums: Sequence[Any]) -> Any:
        # Along a single axis, slices of it are no copies.
        flat = [tf.reshape(x[image] if own else x, (-1,)) for x in arrays]
        of_image = list(tables)
        if own:
            of_image[0] = tables[0][image]
        added = [tf.zeros_like(x) for x in of_image if adds]
        first, slot = 0, image * (large + small)
        for size, number in ((LARGE, large), (SMALL, small)):

            def step(
                i: Tensor,
                rows: Any,
                added: Sequence[Tensor],
                size: int = size,
                first: Tensor = first,
                slot: Tensor = slot,
            ) -> Any:
                start = first + i * size
                held = tf.minimum(size, count - start)
                blocks = []
                for x, array in zip(flat, arrays, strict=True):
                    step = array.shape[-1]
                    x = x[start * step : (start + held) * step]
                    if size == SMALL:
                        x = tf.pad(x, [(0, (size - held) * step)])
                    blocks.append(tf.reshape(x, (size, step)))
                found, *more = program(*blocks, *of_image)
                found = tf.reshape(found, (-1,))[: held * width]
                return (
                    i + 1,
                    rows.write(slot + i, found),
                    [x + y for x, y in zip(added, more, strict=True)],
                )

            _, rows, added = tf.while_loop(
                lambda i, *_, number=number: i < number, step, (0, rows, added)
            )
            first += number * size
            slot += number
        sums = [x.write(image, y) for x, y in zip(sums, added, strict=True)]
        return image + 1, rows, sums

    rows = tf.TensorArray(
        result.dtype,
        images * (large + small),
        element_shape=[None],
        infer_shape=False,
    )
    sums = [tf.TensorArray(x.dtype, images) for x in tables if adds]
    if own:
        _, rows, sums = tf.while_loop(
            lambda image, *_: image < images, walk_image, (0, rows, sums)
        )
    else:
        _, rows, sums = walk_image(0, rows, sums)
    return [
        tf.reshape(rows.concat(), (images, count, width)),
        *(x.stack() for x in sums),
    ]
