"""The names of taps: layers of a network, after or before their activation."""

from collections.abc import Iterable, Mapping, Sequence

import keras

from keras_perceptual import validation
from keras_perceptual.typing import Layers
from keras_perceptual.validation import Checker

# Behind the name of a layer: its output before its own activation.
BEFORE_ACTIVATION = ":before_activation"

# Layers that end in an activation of their own, which can be put off.
ACTIVATED_LAYERS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
    keras.layers.DepthwiseConv2D,
    keras.layers.EinsumDense,
    keras.layers.SeparableConv2D,
)
# Layers that are nothing but an activation.
ACTIVATION_LAYERS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
)


def layer_name(tap: str) -> str:
    """Returns the name of the layer that a tap belongs to."""
    return tap.removesuffix(BEFORE_ACTIVATION)


def is_before_activation(tap: str) -> bool:
    """Whether a tap is before the activation of its layer."""
    return tap.endswith(BEFORE_ACTIVATION)


def standardize_tap(name: str, aliases: Mapping[str, str]) -> str:
    """Returns a tap by the name of its layer in the network.

    Args:
        name: String, what the user calls it.
        aliases: Dictionary from other names of taps to those in the network.

    Returns:
        The name of a layer, with `BEFORE_ACTIVATION` behind it or not.
    """
    layer = layer_name(name)
    tap = aliases.get(layer, layer)
    if is_before_activation(name):
        return layer_name(tap) + BEFORE_ACTIVATION
    return tap


def check_layers(
    owner: str, argument: str, layers: Layers | None
) -> list[str] | dict[str, float] | None:
    """Returns the taps of a loss, refusing those that make no loss.

    Args:
        owner: Name of the object that asks, for the message.
        argument: Name of the argument, for the message.
        layers: What the user passed: a name, a list of names, a dictionary
            from names to weights, or `None`.

    Returns:
        `None`, a list of names, or a dictionary from names to floats above 0.
    """
    if layers is None:
        return None
    if not isinstance(layers, dict):
        layers = [layers] if isinstance(layers, str) else layers
        # What is no collection at all goes into the message.
        layers = list(layers) if isinstance(layers, Iterable) else [layers]
    if not layers or not all(isinstance(name, str) for name in layers):
        raise ValueError(
            f"{owner} needs the name of at least one layer. Leave "
            f"`{argument}` out for the usual ones, or give a list such as "
            "['relu3_3'] or a dictionary such as {'relu3_3': 1.0}. "
            f"Received: {argument}={validation.show(layers)}"
        )
    if not isinstance(layers, dict):
        return layers
    weights = {
        name: Checker(owner).number(
            f"{argument}[{validation.show(name)}]", weight, minimum=0
        )
        for name, weight in layers.items()
    }
    if not any(weights.values()):
        raise ValueError(
            f"{owner} would always be zero: no layer has a weight above 0. "
            f"Received: {argument}={validation.show(layers)}"
        )
    return {name: weight for name, weight in weights.items() if weight}


def check_taps(
    taps: Mapping[str, str],
    network: keras.Model,
    aliases: Mapping[str, str] | None = None,
) -> None:
    """Refuses taps that stand for no tensor, or for one tensor twice.

    Args:
        taps: Dictionary from the names given to the taps in the network.
        network: A `keras.Model`.
        aliases: Dictionary from other names of taps to those in the network.

    Raises:
        ValueError: If a layer is unknown, returns several tensors or has no
            activation before which it could be tapped; if a tap is named
            twice.
    """
    known = [layer.name for layer in network.layers]
    for given, tap in taps.items():
        name = layer_name(tap)
        if name not in known:
            choices = [*(aliases or {}), *known]
            raise ValueError(
                f"{network.name!r} has no layer of this name. "
                f"{validation.nearest_names(given, choices)}"
                f"It has {known}. "
                f"Received: layers={validation.show(list(taps))}"
            )
        if isinstance(network.get_layer(name).output, list | tuple):
            raise ValueError(
                f"The layer {name!r} of {network.name!r} returns several "
                "tensors. Choose a layer behind it. "
                f"Received: layers={validation.show(list(taps))}"
            )
        if is_before_activation(tap):
            _check_activation(network, name, list(taps))
    if len(set(taps.values())) < len(taps):
        raise ValueError(
            "One layer was asked for twice, by different names. Name each "
            f"layer once. Received: layers={validation.show(list(taps))}"
        )


def _check_activation(
    network: keras.Model, name: str, names: Sequence[str]
) -> None:
    """Refuses a layer that does not end in an activation of its own."""
    layer = network.get_layer(name)
    activation = getattr(layer, "activation", None)
    linear = activation in (None, keras.activations.linear)
    if isinstance(layer, ACTIVATED_LAYERS) and not linear:
        return
    if isinstance(layer, ACTIVATION_LAYERS):
        in_front = [x.name for x in network.layers if x.output is layer.input]
        reason = (
            "is an activation itself. Use the layer in front of it: "
            f"{' or '.join(map(repr, in_front))}"
        )
    else:
        reason = (
            f"has no activation of its own at its end. Use {name!r} as it is, "
            "or a layer in front of it"
        )
    raise ValueError(
        f"The layer {name!r} of {network.name!r} {reason}. "
        f"Received: layers={validation.show(names)}"
    )
