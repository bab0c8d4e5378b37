"""What PyTorch does in ways of its own, and why.

Ratios are the processor time of the default by that of the override, on a CPU,
as `benchmarks/backend_overrides.py` prints them.
"""

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import torch

from keras_perceptual._backend import defaults
from keras_perceptual._backend.defaults import Locator, State
from keras_perceptual.typing import DataFormat, Tensor

__all__ = [
    "call_when",
    "choose",
    "clamp",
    "filter_images",
    "frozen_call",
    "hann_blur",
    "has_values",
    "is_chief",
    "is_exporting",
    "looking",
    "read_blended",
    "take",
    "watch_gradients",
]

# Colors to a block on a CPU: what is made of them stays in its cache.
BLOCK = 1 << 17


def has_values(x: Tensor) -> bool:
    """Whether the numbers of `x` can be read now, outside any trace."""
    # Why: the default copies the numbers, for which a GPU has to be waited for.
    return not (isinstance(x, torch.Tensor) and x.is_meta)


def call_when(
    condition: Tensor,
    function: Callable[[np.ndarray], None],
    values: Tensor,
    state: dict[str, Any],
) -> None:
    """Calls `function` with an array of `values` where `condition` holds."""
    # Why: a program that is to run elsewhere calls nobody here.
    if not is_exporting(values):
        defaults.call_when(condition, function, values, state)


def is_exporting(x: Tensor) -> bool:
    """Whether `x` belongs to a program that is to run elsewhere."""
    # Why: the default knows of no trace.
    return torch.compiler.is_exporting() or torch.jit.is_tracing()


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    """Moves what lies outside a range to its end, with the slope 1 there."""
    # Speed: 70 alone, 2.7 with its gradient.
    return torch.clamp(x, low, high)


def choose(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Returns `yes` where a condition holds and `no` elsewhere, both finite."""
    # Speed: 3 alone, 1.2 to 1.6 for a tetrahedral look-up. `torch.where` takes
    # ten times as long as an addition.
    dtype = next(
        (x.dtype for x in (yes, no) if isinstance(x, torch.Tensor)), torch.int32
    )
    chosen = condition.to(dtype)
    return chosen * yes + (1 - chosen) * no


def take(table: Tensor, index: Tensor) -> Tensor:
    """Returns the entries of `table` at integers that lie inside it."""
    # Speed: 1.4 for curves and 3.6 for rows, with the gradient. Numbers are
    # taken one by one: of rows the gradient takes many times as long.
    if table.ndim > 1:
        return torch.stack([take(x, index) for x in table.unbind(-1)], -1)
    return table.index_select(0, index.reshape(-1)).reshape(index.shape)


def filter_images(images: Tensor, window: np.ndarray) -> Tensor:
    """Averages each channel with a window along both axes, within bounds."""
    # Speed: 3 to 6 alone, 1.1 to 1.7 with its gradient. Keras copies into
    # another order, which `torch.func.vmap` refuses as well.
    if _is_compiled():
        return defaults.filter_images(images, window)
    x = images.permute(0, 3, 1, 2)
    weights = torch.as_tensor(window, dtype=x.dtype, device=x.device)
    channels = int(x.shape[1])
    for height, width in ((-1, 1), (1, -1)):
        kernel = weights.reshape(1, 1, height, width)
        x = torch.nn.functional.conv2d(
            x, kernel.repeat(channels, 1, 1, 1), groups=channels
        )
    return x.permute(0, 2, 3, 1)


def hann_blur(
    x: Tensor, strides: int | tuple[int, int], data_format: DataFormat
) -> Tensor:
    """Averages each channel under the window `[1, 2, 1] / 4`, both ways.

    Beyond the border are zeros. Of a side of `n` it leaves
    `ceil(n / stride)`.
    """
    # Speed: 6 with the gradient, 2 with the channels first. Keras copies what
    # it pads, and rearranges the rest.
    if _is_compiled():
        return defaults.hann_blur(x, strides, data_format)
    last = data_format == "channels_last"
    x = x.permute(0, 3, 1, 2) if last else x
    window = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    # A number, where a traced program would have one that is computed: ONNX
    # has to know the kernel's shape.
    channels = int(x.shape[1])
    kernel = torch.outer(window, window).expand(channels, 1, 3, 3)
    x = torch.nn.functional.conv2d(
        x, kernel, stride=strides, padding=1, groups=channels
    )
    return x.permute(0, 2, 3, 1) if last else x


def frozen_call(network: keras.Model) -> Callable[[Tensor], Any]:
    """Returns a function that does what calling a model for inference does.

    Speed: 1.5 for VGG16, 1.7 for AlexNet, with the gradient. Keras adds the
    bias of a convolution in a pass of its own, which over the large maps of the
    first layers takes about as long as the arithmetic, and copies what it pools
    into another order, which all later layers then have to work with. Kernels
    are laid out in memory as PyTorch wants them, else it rearranges them in
    every call.
    """
    for layer in network.layers:
        if type(layer) is keras.layers.MaxPooling2D and (
            layer.padding == "valid"
        ):
            layer.call = types.MethodType(_pool, layer)
        if type(layer) is keras.layers.Conv2D and _is_simple(layer):
            layer.call = types.MethodType(_convolve, layer)
            kernel = layer.kernel.value
            kernel.data = (
                kernel.data.permute(3, 2, 0, 1)
                .contiguous(memory_format=torch.channels_last)
                .permute(2, 3, 1, 0)
            )
    if _is_chain(network):
        return functools.partial(_run_chain, network)
    return functools.partial(network, training=False)


def _is_chain(network: keras.Model) -> bool:
    """Whether each layer takes what the one before it returns, as it is."""
    first, *others = network.layers
    return isinstance(first, keras.layers.InputLayer) and all(
        layer.compute_dtype == network.compute_dtype == "float32"
        and layer.input is before.output
        and not isinstance(layer, keras.Model)
        and "training" not in inspect.signature(layer.call).parameters
        for before, layer in zip(network.layers, others, strict=False)
    )


def _run_chain(network: keras.Model, x: Tensor) -> Any:
    """Calls one layer after the other, without what Keras does around it."""
    wanted = {id(output): None for output in network.outputs}
    for layer in network.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            x = layer.call(x)
        if id(layer.output) in wanted:
            wanted[id(layer.output)] = x
    found = [wanted[id(output)] for output in network.outputs]
    return found if len(found) > 1 else found[0]


def _is_simple(layer: keras.layers.Conv2D) -> bool:
    """Whether the padding is the same at both ends, and the bias is there."""
    return (
        layer.use_bias
        and layer.groups == 1
        and (
            layer.padding == "valid"
            or (
                set(layer.strides) == {1}
                and all(size % 2 for size in layer.kernel_size)
            )
        )
    )


def _convolve(layer: keras.layers.Conv2D, inputs: Tensor) -> Tensor:
    """Does what `Conv2D.call` does."""
    if _is_compiled():
        return type(layer).call(layer, inputs)
    same = layer.padding == "same"
    sizes = zip(layer.kernel_size, layer.dilation_rate, strict=True)
    last = layer.data_format == "channels_last"
    outputs = torch.nn.functional.conv2d(
        inputs.permute(0, 3, 1, 2) if last else inputs,
        keras.ops.convert_to_tensor(layer.kernel).permute(3, 2, 0, 1),
        keras.ops.convert_to_tensor(layer.bias),
        stride=layer.strides,
        padding=[(size - 1) // 2 * rate * same for size, rate in sizes],
        dilation=layer.dilation_rate,
    )
    if layer.activation is keras.activations.relu:
        # Nobody asks for what there was below zero.
        return _channels_last(outputs.relu_(), last)
    outputs = _channels_last(outputs, last)
    return outputs if layer.activation is None else layer.activation(outputs)


def _pool(layer: keras.layers.MaxPooling2D, inputs: Tensor) -> Tensor:
    """Does what `MaxPooling2D.call` does."""
    last = layer.data_format == "channels_last"
    outputs = torch.nn.functional.max_pool2d(
        inputs.permute(0, 3, 1, 2) if last else inputs,
        layer.pool_size,
        layer.strides,
    )
    return _channels_last(outputs, last)


def _is_compiled() -> bool:
    """Whether `torch.compile` is tracing.

    It cannot differentiate a convolution of images whose channels come last and
    whose size it does not know, as after a second size; of those that Keras
    makes it can.
    """
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()


def _channels_last(outputs: Tensor, last: bool) -> Tensor:
    return outputs.permute(0, 2, 3, 1) if last else outputs


@contextlib.contextmanager
def looking(model: keras.Model) -> Iterator[None]:
    """Has a model predict in between without what that leaves behind.

    Why: modules of PyTorch go by a mode that is theirs, and draw from a
    generator that all share.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        devices = range(torch.cuda.device_count())
        with torch.no_grad(), torch.random.fork_rng(devices):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def is_chief(model: keras.Model) -> bool:
    """Whether this process is the one of several that writes files."""
    # Why: only PyTorch knows of the others.
    group = torch.distributed
    if not group.is_available() or not group.is_initialized():
        return True
    return group.get_rank() == 0


def read_blended(places: Locator, colors: Tensor, tables: Tensor) -> Tensor:
    """Returns what the entries that each color needs blend to.

    Speed: 4.2 for the gradient of eight entries, 2.3 to 2.8 of four. Only the
    colors and the tables are kept for the gradients, which find the entries
    and their shares again.
    """
    exported = torch.compiler.is_compiling() or torch.jit.is_tracing()
    precise = colors.dtype in (torch.float32, torch.float64)
    if exported or not precise or colors.device.type != "cpu":
        # A program that is to run elsewhere knows no functions of ours.
        return defaults.read_blended(places, colors, tables)
    tables = tables if tables.ndim == 3 else tables[None]
    points = colors.reshape(len(tables), -1, 3)
    found = [
        BlendedRead.apply(places, *one)
        for one in zip(points, tables, strict=True)
    ]
    return torch.stack(found).reshape(*colors.shape[:-1], tables.shape[-1])


def watch_gradients(
    function: Callable[[list[Tensor]], tuple[Tensor, State]],
    x: Tensor,
    count: int,
    tell: Callable[[list[Tensor]], None],
) -> tuple[Tensor, State]:
    """Returns what a function makes of some copies of a tensor.

    Why: the default tells nobody. The copies are one operation, whose gradient
    is computed when those of all copies are there.
    """
    return function(list(WatchedCopies.apply(x, count, tell)))


class WatchedCopies(torch.autograd.Function):
    """What `watch_gradients` records for its gradient."""

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        count: int,
        tell: Callable[[list[Tensor]], None],
    ) -> tuple[Tensor, ...]:
        """Returns the copies, which share their memory."""
        context.tell = tell
        return tuple(x.view_as(x) for _ in range(count))

    @staticmethod
    def backward(context: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Tells of the gradients, and adds them up."""
        context.tell([part.detach() for part in upstream])
        return functools.reduce(torch.add, upstream), None, None


class BlendedRead(torch.autograd.Function):
    """What `read_blended` records for its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(places: Locator, points: Tensor, table: Tensor) -> Tensor:
        """Blends the entries for each point, one block after the other."""
        read = _sum if places.extrapolate == "clamp" else _blend
        return torch.cat(
            [
                read(places.of_channels(_planes(part).unbind()), table)
                for part in points.split(BLOCK)
            ]
        )

    @staticmethod
    def setup_context(
        context: Any, inputs: tuple[Any, ...], output: Tensor
    ) -> None:
        """Remembers what the look-up was made of."""
        places, points, table = inputs
        context.places = places
        context.save_for_backward(points, table)

    @staticmethod
    def backward(context: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of the points and of the table."""
        points, table = context.saved_tensors
        if torch.is_grad_enabled():
            # These gradients are to be differentiated in turn.
            result = defaults.read_blended(context.places, points, table)
            needed = [x for x in (points, table) if x.requires_grad]
            found = iter(
                torch.autograd.grad(result, needed, upstream, create_graph=True)
            )
            return None, *(
                next(found) if x.requires_grad else None
                for x in (points, table)
            )
        return None, *_gradients(context.places, points, table, upstream)


def _sum(found: Any, table: Tensor) -> Tensor:
    """The sum of entries times shares; the shares are between 0 and 1."""
    return torch.nn.functional.embedding_bag(
        torch.stack(found.indices, -1),
        table,
        mode="sum",
        per_sample_weights=torch.stack(found.weights(), -1),
    )


def _blend(found: Any, table: Tensor) -> Tensor:
    """The same, exact also far outside, where the shares are large."""
    planes = _planes(table)
    rows = [planes.index_select(1, i)[:, :, None] for i in found.indices]
    return found.blend(rows)[:, :, 0].t()


def _gradients(
    places: Locator, points: Tensor, table: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor]:
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


def _dot(planes: Tensor, index: Tensor, above: Tensor) -> Tensor:
    """Returns the products of the entries at `index` with what is above."""
    result = torch.zeros_like(above[0])
    # Takes three quarters of the time of all planes at once.
    for plane, factor in zip(planes, above, strict=True):
        result.addcmul_(plane.index_select(0, index), factor)
    return result


def _planes(rows: Tensor) -> Tensor:
    """Returns the columns of `rows`, each in one piece of memory."""
    # Takes a quarter of the time of `contiguous`.
    return torch.stack(rows.detach().unbind(-1))
