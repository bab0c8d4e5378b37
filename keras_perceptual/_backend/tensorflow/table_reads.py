"""Points read from tables, as blends of a few entries each."""

import tensorflow as tf


def read_blended(places, points, tables):
    """Returns what the entries that each point needs blend to.

    Only the points and the tables are kept for the gradients, which find the
    entries and their shares again.

    Args:
        places: `CubePlaces`.
        points: Tensor of shape `(batch, points, 3)`.
        tables: Tensor of shape `(batch, entries, width)`.

    Returns:
        A tensor of shape `(batch, points, width)`.
    """

    @tf.custom_gradient
    def read(points, tables):
        def gradient(upstream):
            return _backward(places, points, tables, upstream)

        return _forward(places, points, tables), gradient

    return read(points, tables)


def _forward(places, points, tables):
    rows, start = _in_one(tables)
    found = places(points)
    return found.blend(
        [tf.gather(rows, index + start) for index in found.indices]
    )


def _backward(places, points, tables, upstream):
    rows, start = _in_one(tables)
    with tf.GradientTape() as tape:
        tape.watch(points)
        found = places(points)
    of_weights, of_rows = [], []
    # Rows of four numbers are added twice as fast as rows of three.
    padded = upstream
    if upstream.shape[-1] == 3:
        padded = tf.pad(upstream, [(0, 0), (0, 0), (0, 1)])
    for index, weight in zip(found.indices, found.weights(), strict=True):
        index = index + start
        of_weights.append(
            tf.reduce_sum(upstream * tf.gather(rows, index), axis=-1)
        )
        of_rows.append(
            tf.math.unsorted_segment_sum(
                weight[..., None] * padded, index, tf.shape(rows)[0]
            )
        )
    of_tables = tf.add_n(of_rows)[:, : upstream.shape[-1]]
    return (
        tape.gradient(found.fractions, points, found.slopes(of_weights)),
        tf.reshape(of_tables, tf.shape(tables)),
    )


def _in_one(tables):
    """Returns the rows of all tables, and where each table starts."""
    rows = tf.reshape(tables, (-1, tables.shape[-1]))
    if tables.shape[0] == 1:
        return rows, 0
    starts = tf.range(tf.shape(tables)[0]) * tables.shape[1]
    return rows, tf.expand_dims(starts, -1)
