"""Models to be checked for gradients on several devices."""

import contextlib
import functools
import warnings

import keras
import numpy as np

from keras_perceptual import (
    GradientMonitor,
    GradientSanityCallback,
    GradientSanityError,
)

# What is wrong, and what the callback is to say of the four variables.
EXPECTED = {
    "cut": ("raised", ["missing", "missing", "ok", "ok"]),
    "nan on one device": ("raised", ["nonfinite"] * 4),
    "zeros on one device": ("passed", ["ok"] * 4),
    "zeros everywhere": ("raised", ["zero"] * 4),
    "stray": ("raised", ["ok"] * 4 + ["untracked"]),
}


def outcome(case, strategy=None, model_class=keras.Model):
    """Returns what the callback does, its statuses, and what is to blame."""
    scope = strategy.scope if strategy else contextlib.nullcontext
    keras.utils.set_random_seed(0)
    with scope():
        between = keras.ops.copy
        if case == "cut":
            between = keras.ops.stop_gradient
        if case == "stray":
            scale = keras.Variable(np.ones(4, "float32"), name="scale")
            between = functools.partial(keras.ops.multiply, scale)
        inputs = keras.Input((4,))
        x = keras.layers.Dense(4, name="hidden")(inputs)
        x = keras.layers.Lambda(lambda x: between(x), name="between")(x)
        outputs = keras.layers.Dense(1, name="out")(x)
        if model_class is keras.Model:
            model = model_class(inputs, outputs)
            model.compile("sgd", "mse")
    if model_class is not keras.Model:
        model = model_class(inputs, outputs)
    callback = GradientSanityCallback(steps=2)
    x, y, weights = batches(case)
    result = "passed"
    with contextlib.nullcontext() if model.compiled else scope():
        if not model.compiled:
            model.compile("sgd", "mse")
        try:
            model.fit(
                x,
                y,
                sample_weight=weights,
                batch_size=8,
                shuffle=False,
                verbose=0,
                callbacks=[callback],
            )
        except GradientSanityError:
            result = "raised"
    assert not {"apply", "stateless_apply"} & vars(model.optimizer).keys()
    culprits = {
        record.culprit.function
        for record in callback.report
        if record.culprit and record.culprit.function
    }
    statuses = [record.status for record in callback.report]
    return result, statuses, sorted(culprits)


def recorded(monitor, strategy=None, case="healthy", model_class=keras.Model):
    """Returns a model after a training, and what a monitor warned of."""
    scope = strategy.scope if strategy else contextlib.nullcontext
    keras.utils.set_random_seed(0)
    with scope():
        inputs = keras.Input((4,))
        x = keras.layers.Dense(4, "relu", name="hidden")(inputs)
        outputs = keras.layers.Dense(1, name="out")(x)
        if model_class is keras.Model:
            model = model_class(inputs, outputs)
            model.compile("sgd", "mse")
    if model_class is not keras.Model:
        model = model_class(inputs, outputs)
    x, y, _ = batches(case)
    with (
        warnings.catch_warnings(record=True) as said,
        contextlib.nullcontext() if model.compiled else scope(),
    ):
        warnings.simplefilter("always")
        if not model.compiled:
            model.compile("sgd", "mse")
        model.fit(
            x,
            y,
            batch_size=8,
            shuffle=False,
            verbose=0,
            callbacks=[monitor] if monitor else [],
        )
    texts = [str(warning.message) for warning in said]
    return model, [text for text in texts if "GradientMonitor" in text]


def compare_recorded(**how):
    """Returns what a monitor sees and says, and whether it changes anything.

    Args:
        **how: The strategy, and the class of the model.
    """
    weights, notes = [], []
    for monitor in (None, GradientMonitor(every=1)):
        model, said = recorded(monitor, **how)
        weights.append(model.get_weights())
        notes.append(said)
    same = [np.array_equal(a, b) for a, b in zip(*weights, strict=True)]
    broken = GradientMonitor(every=1)
    return {
        "same": all(same),
        "steps": [reading.step for reading in monitor.readings],
        "healthy": notes[1],
        "broken": recorded(broken, case="nan on one device", **how)[1],
    }


def batches(case, count=24, batch=8):
    """Returns inputs, targets and weights.

    The second half of each batch goes to the second device.
    """
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 1, size=(count, 4)).astype("float32")
    weights = np.ones(count, "float32")
    second = np.arange(count) % batch >= batch // 2
    if case == "nan on one device":
        x[second] = np.nan
    if case == "zeros on one device":
        weights[second] = 0
    if case == "zeros everywhere":
        weights[:] = 0
    return x, np.ones((count, 1), "float32"), weights
