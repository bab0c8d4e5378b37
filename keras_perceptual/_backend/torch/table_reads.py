"""Points read from tables, as blends of a few entries each."""

import torch

# Points to a block on a CPU: what is made of them stays in its cache.
BLOCK = 1 << 17


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
    if points.device.type != "cpu" or points.dtype not in (
        torch.float32,
        torch.float64,
    ):
        return _read_at_once(places, points, tables)
    return torch.stack(
        [
            BlendedRead.apply(places, *one)
            for one in zip(points, tables, strict=True)
        ]
    )


class BlendedRead(torch.autograd.Function):
    """What `read_blended` records for its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(places, points, table):
        """Blends the entries for each point, one block after the other."""
        read = _sum if places.extrapolate == "clamp" else _blend
        return torch.cat(
            [
                read(places.of_channels(_planes(part).unbind()), table)
                for part in points.split(BLOCK)
            ]
        )

    @staticmethod
    def setup_context(context, inputs, output):
        """Remembers what the look-up was made of."""
        places, points, table = inputs
        context.places = places
        context.save_for_backward(points, table)

    @staticmethod
    def backward(context, upstream):
        """Returns the gradients of the points and of the table."""
        points, table = context.saved_tensors
        if torch.is_grad_enabled():
            # These gradients are to be differentiated in turn.
            result = _read_at_once(context.places, points[None], table[None])
            needed = [x for x in (points, table) if x.requires_grad]
            found = iter(
                torch.autograd.grad(
                    result[0], needed, upstream, create_graph=True
                )
            )
            return None, *(
                next(found) if x.requires_grad else None
                for x in (points, table)
            )
        return None, *_gradients(context.places, points, table, upstream)


def _read_at_once(places, points, tables):
    """The same in plain operations, for all tables together."""
    count, entries, width = tables.shape
    found = places(points)
    starts = torch.arange(count, dtype=torch.int32, device=points.device)
    starts = starts[:, None] * entries
    rows = tables.reshape(-1, width)
    return found.blend([rows[index + starts] for index in found.indices])


def _sum(found, table):
    """The sum of entries times shares; the shares are between 0 and 1."""
    return torch.nn.functional.embedding_bag(
        torch.stack(found.indices, -1),
        table,
        mode="sum",
        per_sample_weights=torch.stack(found.weights(), -1),
    )


def _blend(found, table):
    """The same, exact also far outside, where the shares are large."""
    planes = _planes(table)
    rows = [planes.index_select(1, i)[:, :, None] for i in found.indices]
    return found.blend(rows)[:, :, 0].t()


def _gradients(places, points, table, upstream):
    """Returns the gradients of points and table, one block after the other."""
    planes = _planes(table)
    of_points = []
    of_planes = torch.zeros_like(planes)
    for part, above in zip(
        points.split(BLOCK), upstream.split(BLOCK), strict=True
    ):
        above = _planes(above)
        channels = [x.requires_grad_() for x in _planes(part).unbind()]
        with torch.enable_grad():
            found = places.of_channels(channels)
        of_weights = [_dot(planes, index, above) for index in found.indices]
        of_channels = torch.autograd.grad(
            found.fractions, channels, found.slopes(of_weights)
        )
        of_points.append(torch.stack(of_channels, -1))
        # Each block by itself, so that small numbers are added to small ones.
        block = torch.zeros_like(planes)
        for index, share in zip(found.indices, found.weights(), strict=True):
            rows = index.long().expand(len(planes), -1)
            block.scatter_add_(1, rows, share.detach() * above)
        of_planes += block
    return torch.cat(of_points), of_planes.t()


def _dot(planes, index, above):
    """Returns the products of the entries at `index` with what is above."""
    result = torch.zeros_like(above[0])
    # Takes three quarters of the time of all planes at once.
    for plane, factor in zip(planes, above, strict=True):
        result.addcmul_(plane.index_select(0, index), factor)
    return result


def _planes(rows):
    """Returns the columns of `rows`, each in one piece of memory."""
    # Takes a quarter of the time of `contiguous`.
    return torch.stack(rows.detach().unbind(-1))
