"""How the layers of a network are computed."""

import functools
import inspect
import types

import keras
import torch

# Whether filtering each channel by itself is slower than a matrix product with
# hundreds of times the arithmetic.
SLOW_DEPTHWISE = False


def save_passes(network):
    """Has a network's layers pass over its large maps as often as needed.

    Keras adds the bias of a convolution in a pass of its own, which over the
    large maps of the first layers takes about as long as the arithmetic, and
    copies what it pools into another order, which all later layers then have
    to work with. Kernels are laid out in memory as PyTorch wants them, else it
    rearranges them in every call.

    Args:
        network: A model that nobody else uses.

    Returns:
        A function that does what calling the model in inference mode does.
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


def _is_chain(network):
    """Whether each layer takes what the one before it returns, as it is."""
    first, *others = network.layers
    return isinstance(first, keras.layers.InputLayer) and all(
        layer.compute_dtype == network.compute_dtype == "float32"
        and layer.input is before.output
        and not isinstance(layer, keras.Model)
        and "training" not in inspect.signature(layer.call).parameters
        for before, layer in zip(network.layers, others, strict=False)
    )


def _run_chain(network, x):
    """Calls one layer after the other, without what Keras does around it."""
    wanted = {id(output): None for output in network.outputs}
    for layer in network.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            x = layer.call(x)
        if id(layer.output) in wanted:
            wanted[id(layer.output)] = x
    found = [wanted[id(output)] for output in network.outputs]
    return found if len(found) > 1 else found[0]


def _is_simple(layer):
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


def _convolve(layer, inputs):
    """Does what `Conv2D.call` does."""
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


def _pool(layer, inputs):
    """Does what `MaxPooling2D.call` does."""
    last = layer.data_format == "channels_last"
    outputs = torch.nn.functional.max_pool2d(
        inputs.permute(0, 3, 1, 2) if last else inputs,
        layer.pool_size,
        layer.strides,
    )
    return _channels_last(outputs, last)


def _channels_last(outputs, last):
    return outputs.permute(0, 2, 3, 1) if last else outputs
