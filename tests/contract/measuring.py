"""Turns any public object into numbers, the same way in every process."""

import keras
import numpy as np


def images(seed, value_range=(0, 1), data_format="channels_last"):
    """Returns two images that are the same whenever they are asked for."""
    low, high = value_range
    x = np.random.default_rng(seed).uniform(low, high, (2, 32, 32, 3))
    if data_format == "channels_first":
        x = np.moveaxis(x, -1, 1)
    return x.astype("float32")


def measure(instance):
    """Returns what an object computes, as a list of numbers."""
    if isinstance(instance, keras.callbacks.Callback):
        return []  # Has no result; its configuration is all there is.
    if isinstance(
        instance, keras.regularizers.Regularizer | keras.constraints.Constraint
    ):
        table = np.random.default_rng(3).uniform(-0.5, 1.5, (4, 5, 6, 3))
        found = instance(keras.ops.convert_to_tensor(table, "float32"))
        return keras.ops.convert_to_numpy(found).ravel().tolist()
    measured = getattr(instance, "loss", instance)
    layout = {
        "value_range": getattr(measured, "value_range", (0, 1)),
        "data_format": getattr(measured, "data_format", "channels_last"),
    }
    if isinstance(instance, keras.layers.Layer):
        compares = hasattr(instance, "loss")
        found = instance(
            [images(0, **layout), images(1, **layout)]
            if compares
            else images(2, **layout)
        )
    else:
        found = measured(images(0, **layout), images(1, **layout))
    if isinstance(instance, keras.metrics.Metric):
        instance.update_state(images(0, **layout), images(1, **layout))
        found = instance.result()
    found = [
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")).ravel()
        for x in keras.tree.flatten(found)
    ]
    return np.concatenate(found).tolist()
