"""Variants of a network with the same weights: other pooling, other taps."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_perceptual.features.taps import (
    BEFORE_ACTIVATION,
    is_before_activation,
    layer_name,
)
from keras_perceptual.ops.pooling import l2_pool
from keras_perceptual.typing import DataFormat, Pooling, Shape, Tensor

POOLINGS = ("max", "average", "l2")


class L2Pooling2D(keras.layers.Layer):
    """Does what `l2_pool` does, in the place of a `MaxPooling2D`."""

    def __init__(
        self,
        strides: tuple[int, int],
        data_format: DataFormat,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.strides = strides
        self.data_format = data_format

    def call(self, x: Tensor) -> Tensor:
        """Returns the pooled feature maps."""
        return l2_pool(x, self.strides, self.data_format)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Returns the shape of the pooled feature maps."""
        shape = list(input_shape)
        first = 1 if self.data_format == "channels_last" else 2
        for axis, stride in enumerate(self.strides, start=first):
            size = shape[axis]
            if size is not None:
                shape[axis] = -(-size // stride)
        return tuple(shape)


def has_max_pooling(network: keras.Model) -> bool:
    """Whether a network, or a network inside it, has a `MaxPooling2D`."""
    return any(
        isinstance(layer, keras.layers.MaxPooling2D)
        or (isinstance(layer, keras.Model) and has_max_pooling(layer))
        for layer in network.layers
    )


def tap_network(
    network: keras.Model, taps: Sequence[str], pooling: Pooling = "max"
) -> tuple[Tensor, list[Tensor]]:
    """Returns the input of a network and its outputs at the taps.

    Unless all is as the network has it, its layers are wired anew, and the
    network should not be used any more: a layer that is tapped before its
    activation has none afterwards.

    Args:
        network: A Functional or built Sequential `keras.Model` with one input.
        taps: Names of layers, with `BEFORE_ACTIVATION` behind them or not.
        pooling: String, one of `POOLINGS`.

    Returns:
        A symbolic tensor, and a list of one for each tap.
    """
    split = {layer_name(tap) for tap in taps if is_before_activation(tap)}
    if pooling == "max" and not split:
        return network.inputs[0], [network.get_layer(t).output for t in taps]
    activations = {name: _take_off(network.get_layer(name)) for name in split}
    outputs: dict[str, Tensor] = {}

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        if layer.name in split:
            outputs.setdefault(layer.name + BEFORE_ACTIVATION, output)
            output = activations[layer.name](output)
        outputs.setdefault(layer.name, output)
        return output

    network = _rewire(network, pooling, call)
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):  # It is not called.
            outputs[layer.name] = layer.output
    return network.inputs[0], [outputs[tap] for tap in taps]


def _take_off(layer: keras.Layer) -> keras.Layer:
    """Takes the activation off a layer and returns it as one of its own."""
    activation = keras.layers.Activation(
        layer.activation,
        name=f"{layer.name}_own_activation",
        dtype=layer.dtype_policy,
    )
    layer.activation = keras.activations.linear
    return activation


def _rewire(
    network: keras.Model,
    pooling: Pooling,
    call_function: Callable[..., Any] | None = None,
) -> keras.Model:
    """Links the layers of a network anew, with other ones for its pooling."""

    def replace(layer: keras.Layer) -> keras.Layer:
        if pooling == "max":
            return layer
        if isinstance(layer, keras.layers.MaxPooling2D):
            return _other_pooling(layer, pooling)
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            return _rewire(layer, pooling)
        return layer

    # The layers of a Sequential are not called one by one by `clone_model`.
    return keras.models.clone_model(
        keras.Model(network.inputs, network.outputs, name=network.name),
        clone_function=replace,
        call_function=call_function,
    )


def _other_pooling(
    layer: keras.layers.MaxPooling2D, pooling: Pooling
) -> keras.Layer:
    """Returns the layer that takes the place of a `MaxPooling2D`."""
    common = {
        "strides": layer.strides,
        "data_format": layer.data_format,
        "name": layer.name,
        "dtype": layer.dtype_policy,
    }
    if pooling == "l2":
        return L2Pooling2D(**common)
    return keras.layers.AveragePooling2D(
        layer.pool_size, padding=layer.padding, **common
    )
