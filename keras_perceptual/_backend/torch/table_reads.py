"""Points read from tables, as blends of a few entries each."""

import torch

# Points to a block on a CPU: what is made of them stays in its cache.
BLOCK = 1 << 16


def read_blended(places, points, tables):
    """Returns what the entries that each point needs blend to.

    Only the points and the tables are kept for the gradients, which find the
    entries and their shares again.

    Args:
        places: `CubePlaces`, or another function of `(..., 3)` points that
            returns their `Places`. Equal ones have an equal hash.
        points: Tensor of shape `(batch, points, 3)`.
        tables: Tensor of shape `(batch, entries, width)`.

    Returns:
        A tensor of shape `(batch, points, width)`.
    """
    if (
        points.device.type != "cpu"
        or points.dtype not in (torch.float32, torch.float64)
        # What is written down for elsewhere is to be plain operations.
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
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
        planes = _planes(table)
        results = []
        for part in points.split(BLOCK):
            found = places(_planes(part).t())
            rows = [
                planes.index_select(1, index)[:, :, None]
                for index in found.indices
            ]
            results.append(found.blend(rows)[:, :, 0].t())
        return torch.cat(results)

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


def _gradients(places, points, table, upstream):
    """Returns the gradients of points and table, one block after the other."""
    planes = _planes(table)
    of_points = []
    of_planes = torch.zeros_like(planes)
    for part, above in zip(
        points.split(BLOCK), upstream.split(BLOCK), strict=True
    ):
        part, above = _planes(part).t().requires_grad_(), _planes(above)
        with torch.enable_grad():
            found = places(part)
            weights = found.weights()
        of_weights = [
            (planes.index_select(1, index) * above).sum(0)
            for index in found.indices
        ]
        of_points.append(torch.autograd.grad(weights, part, of_weights)[0])
        indices = torch.cat(found.indices)
        weights = torch.stack(weights).detach()
        for of_plane, one in zip(of_planes, above, strict=True):
            # Counting is the fastest addition of many numbers to few.
            of_plane += torch.bincount(
                indices, (weights * one).reshape(-1), len(table)
            )
    return torch.cat(of_points), of_planes.t()


def _planes(rows):
    """Returns the columns of `rows`, each in one piece of memory."""
    return rows.detach().t().contiguous()
