"""Points read from tables, as blends of a few entries each."""

import functools

import jax
import jax.numpy as jnp

from keras_perceptual._backend.jax.tensors import take

# Points to a block on a CPU: what is made of them stays in its cache.
BLOCK = 1 << 16


def read_blended(places, points, tables):
    """Returns what the entries that each point needs blend to.

    Only the points and the tables are kept for the gradients, which find the
    entries and their shares again.

    On a CPU the points are taken in blocks. XLA would otherwise compute all
    of this again for every number of whatever sums the result up.

    Args:
        places: `CubePlaces`.
        points: Tensor of shape `(batch, points, 3)`.
        tables: Tensor of shape `(batch, entries, width)`.

    Returns:
        A tensor of shape `(batch, points, width)`.
    """
    if len(tables) == 1:
        return _read(places, points[0], tables[0])[None]
    return jax.vmap(functools.partial(_read, places))(points, tables)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
@functools.partial(jax.jit, static_argnums=0)
def _read(places, points, table):
    """Reads `(points, 3)` from `(entries, width)`."""

    def blend(points):
        found = places(points)
        return found.blend([take(table, i) for i in found.indices])

    return _joined(jax.lax.map(blend, _blocks(points)), points)


def _forward(places, points, table):
    return _read(places, points, table), (points, table)


@functools.partial(jax.jit, static_argnums=0)
def _backward(places, kept, upstream):
    points, table = kept
    width = table.shape[-1]
    # Rows of four numbers are added faster than rows of three.
    spare = 1 if width == 3 else 0

    def step(of_table, block):
        points, upstream = block
        found = places(points)
        _, pull = jax.vjp(lambda x: places(x).fractions, points)
        padded = jnp.pad(upstream, ((0, 0), (0, spare)))
        of_weights = []
        for index, weight in zip(found.indices, found.weights(), strict=True):
            rows = take(table, index)
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


def _blocks(x):
    """Returns `x` in blocks of one size, the last one filled with zeros."""
    if jax.default_backend() != "cpu":
        return x[None]
    blocks = max(1, -(-len(x) // BLOCK))
    size = -(-len(x) // blocks)
    x = jnp.pad(x, ((0, blocks * size - len(x)), (0, 0)))
    return x.reshape(blocks, size, x.shape[-1])


def _joined(blocks, x):
    """Returns blocks as one, as long as `x`."""
    if blocks.shape[0] == 1:
        return blocks[0]
    return blocks.reshape(-1, blocks.shape[-1])[: len(x)]
