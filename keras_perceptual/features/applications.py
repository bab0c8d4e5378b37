"""Networks of `keras.applications`, whatever is set for the whole process."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import keras


def build_application(
    application: Callable[..., Any], weights: str | None = None
) -> keras.Model:
    """Returns a network for `channels_last` images, without its classifier.

    Keras builds it in the image format that is set for the whole process,
    which other threads read and which is left alone: where that is
    `"channels_first"`, the network is converted.

    Args:
        application: Function of `keras.applications`.
        weights: `"imagenet"` for those that Keras downloads. Defaults to
            `None`: random ones.

    Returns:
        A `keras.Model` of images shaped `(batch, height, width, 3)`.

    Raises:
        ConnectionError: If the weights cannot be downloaded.
        ValueError: If Keras does not build it in the format that is set.
    """
    channels_last = keras.config.image_data_format() == "channels_last"
    # The type of inputs would be the default one of the whole process.
    inputs = keras.Input(
        (None, None, 3) if channels_last else (3, None, None),
        dtype=keras.config.dtype_policy().compute_dtype,
    )
    # From Python's numbers Keras draws the seeds of initializers.
    state = random.getstate()
    try:
        with warnings.catch_warnings():
            # MobileNetV2 says which of its files it takes.
            warnings.filterwarnings("ignore", "`input_shape` is undefined")
            network = application(
                include_top=False, weights=weights, input_tensor=inputs
            )
        network = network if channels_last else convert(network)
        # Of one tensor, not of a list of one.
        return keras.Model(
            network.inputs[0], network.outputs[0], name=network.name
        )
    except Exception as error:
        if "URL fetch failure" in str(error):
            raise _no_download(application.__name__, error) from error
        if channels_last:
            raise
        raise ValueError(
            f"Keras does not build {application.__name__} while "
            "the image format is 'channels_first'. Set it by "
            "`keras.config.set_image_data_format('channels_last')` and give "
            "losses `data_format='channels_first'`, or take another network. "
            "Received: image_data_format='channels_first'"
        ) from error
    finally:
        random.setstate(state)


def convert(network: keras.Model) -> keras.Model:
    """Returns a copy of a network for images with their channels last.

    Args:
        network: A Functional `keras.Model` of images with their channels
            first, with one input.
    """

    def turn(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if "data_format" in config:
            config["data_format"] = "channels_last"
        if config.get("axis") in (1, [1], (1,)):
            config["axis"] = -1
        if "target_shape" in config:
            first, *others = config["target_shape"]
            config["target_shape"] = (*others, first)
        return type(layer).from_config(config)

    inputs = network.inputs[0]
    turned = keras.models.clone_model(
        network,
        input_tensors=[keras.Input((None, None, 3), dtype=inputs.dtype)],
        clone_function=turn,
    )
    turned.set_weights(network.get_weights())
    return turned


def _no_download(name: str, error: Exception) -> ConnectionError:
    return ConnectionError(
        f"The ImageNet weights of {name} are not in this package: "
        "keras.applications downloads them, once, into the folder `models` of "
        "`~/.keras` (or of KERAS_HOME), and could not. Connect this machine, "
        "copy the file into that folder from another one, give its path as "
        "`weights`, or use `backbone='vgg16'`, whose weights are here. "
        f"Received: {error}"
    )
