"""Checks that every public object has to pass, on every backend."""

import ast
import inspect
import json
import re

import keras
import numpy as np
import pytest


def compiled(function):
    """Returns a function of tensors that JAX compiles as one program.

    By itself, JAX compiles each operation of it for each shape, which takes
    several times as long. The other backends run it as it is.
    """
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def gradients(function, *inputs):
    """Returns the gradients of a scalar function of arrays, as arrays.

    A gradient that the backend reports as missing is returned as `None`.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(x) for x in inputs]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        found = tape.gradient(value, tensors)
    elif backend == "jax":
        import jax

        found = jax.grad(function, argnums=tuple(range(len(inputs))))(
            *[keras.ops.convert_to_tensor(x) for x in inputs]
        )
    else:
        import torch

        tensors = [torch.tensor(np.asarray(x)).requires_grad_() for x in inputs]
        found = torch.autograd.grad(
            function(*tensors), tensors, allow_unused=True
        )
    return [None if g is None else keras.ops.convert_to_numpy(g) for g in found]


def gradient_step(function):
    """Returns a function that gives the value and the gradient of another.

    It takes and returns arrays. On JAX, it is one program for each shape.

    Args:
        function: A scalar function of two arrays. The gradient is that by the
            second.
    """
    return _of_arrays(_gradient_step(function))


def compiled_gradient(function, xla=False):
    """Returns what `gradient_step` does, compiled as a training step is.

    Args:
        function: A scalar function of two arrays.
        xla: Whether TensorFlow compiles the whole step with XLA, as JAX does.
    """
    step = _gradient_step(function)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        step = tf.function(step, jit_compile=xla)
    return _of_arrays(step)


def _gradient_step(function):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def step(constant, x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(constant, x)
            return value, tape.gradient(value, x)

    elif backend == "jax":
        import jax

        step = jax.jit(jax.value_and_grad(function, argnums=1))
    else:
        import torch

        def step(constant, x):
            x = x.clone().requires_grad_()
            value = function(constant, x)
            return value.detach(), *torch.autograd.grad(value, [x])

    return step


def _of_arrays(step):
    def convert(*arrays):
        results = step(*[keras.ops.convert_to_tensor(x) for x in arrays])
        return [keras.ops.convert_to_numpy(x) for x in results]

    return convert


def check_finite_differences(
    function, *inputs, step=1e-2, tolerance=2e-2, directions=8, seed=0
):
    """Compares gradients with central differences along random directions.

    The default step suits float32; in float64 it can be short. Differences
    are relative to the largest slope seen.

    Args:
        function: A function of arrays that returns a scalar tensor.
        *inputs: The arrays at which to differentiate.
        step: Length of the step along a direction of unit maximum.
        tolerance: Allowed difference, relative to the largest slope.
        directions: How many random directions to try for each input.
        seed: Seed of the directions.
    """
    rng = np.random.default_rng(seed)
    function = compiled(function)
    found = gradients(function, *inputs)

    def value(arrays):
        tensors = [keras.ops.convert_to_tensor(x) for x in arrays]
        return float(keras.ops.convert_to_numpy(function(*tensors)))

    for index, (x, gradient) in enumerate(zip(inputs, found, strict=True)):
        assert gradient is not None, f"input {index} has no gradient"
        assert np.all(np.isfinite(gradient))
        analytic, numeric = [], []
        for _ in range(directions):
            direction = rng.uniform(-1, 1, np.shape(x)).astype(x.dtype)
            forward, backward = list(inputs), list(inputs)
            forward[index] = (x + step * direction).astype(x.dtype)
            backward[index] = (x - step * direction).astype(x.dtype)
            numeric.append((value(forward) - value(backward)) / (2 * step))
            analytic.append(float(np.sum(gradient * direction)))
        scale = max(np.max(np.abs(numeric)), np.max(np.abs(analytic)))
        assert scale > 0, f"input {index} does not matter to the function"
        np.testing.assert_allclose(
            np.array(analytic) / scale,
            np.array(numeric) / scale,
            atol=tolerance,
        )


def through_json(config):
    """Returns the config as it is after being written to a file and read."""
    return json.loads(json.dumps(config))


def check_config(instance):
    """The config names every argument and revives an equal object.

    Returns:
        The revived object.
    """
    cls = type(instance)
    arguments = {
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    config = instance.get_config()
    missing = arguments - set(config)
    assert not missing, f"{cls.__name__}.get_config() leaves out {missing}"

    serialized = through_json(keras.saving.serialize_keras_object(instance))
    assert serialized["registered_name"] == f"keras_perceptual>{cls.__name__}"
    revived = keras.saving.deserialize_keras_object(serialized)
    assert type(revived) is cls
    assert through_json(revived.get_config()) == through_json(config)
    return revived


def check_loss_contract(loss, y_true, y_pred):
    """What holds for every loss between two batches of images.

    Args:
        loss: The loss, with the default reduction.
        y_true: Array of at least two images.
        y_pred: Array of other images of the same shape.
    """
    values = image_values(loss, y_true, y_pred)
    assert values.shape == (len(y_true),)
    assert np.all(values > 0)

    value = compiled(loss)
    reduced = float(value(y_true, y_pred))
    np.testing.assert_allclose(reduced, values.mean(), rtol=1e-5)

    # The order of the batch is of no account, nor are the other images.
    flipped = float(value(y_true[::-1], y_pred[::-1]))
    np.testing.assert_allclose(flipped, reduced, rtol=1e-4)
    alone = float(value(y_true[:1], y_pred[:1]))
    np.testing.assert_allclose(alone, values[0], rtol=1e-4)

    # A weight for each image.
    weights = np.zeros(len(y_true), "float32")
    weights[0] = 1.0
    weighted = float(value(y_true, y_pred, weights))
    np.testing.assert_allclose(weighted, values[0] / len(y_true), rtol=1e-4)

    # Equal images: no distance, and nothing that pushes them apart.
    np.testing.assert_allclose(float(value(y_true, y_true)), 0, atol=1e-6)
    step = gradient_step(loss)
    _, gradient = step(y_true, y_true)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)

    # A gradient for every image.
    _, gradient = step(y_true, y_pred)
    assert np.all(np.isfinite(gradient))
    assert all(np.any(g != 0) for g in gradient)

    revived = check_config(loss)
    again = float(compiled(revived)(y_true, y_pred))
    np.testing.assert_allclose(again, reduced)


def image_values(loss, y_true, y_pred):
    """Returns the loss of each image, as an array."""
    return keras.ops.convert_to_numpy(
        compiled(loss.call)(
            keras.ops.convert_to_tensor(y_true),
            keras.ops.convert_to_tensor(y_pred),
        )
    )


def check_image_conventions(make, y_true, y_pred):
    """The same pictures cost the same in every range and layout.

    Args:
        make: Function of keyword arguments that returns the loss.
        y_true: Array of images in (0, 1), channels last.
        y_pred: Array of other images of the same shape.
    """
    expected = image_values(make(), y_true, y_pred)
    for low, high in ((0, 255), (-1, 1), (-3, 5)):
        found = image_values(
            make(value_range=(low, high)),
            *(x * (high - low) + low for x in (y_true, y_pred)),
        )
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    found = image_values(
        make(data_format="channels_first"),
        *(np.moveaxis(x, -1, 1) for x in (y_true, y_pred)),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def check_defaults(function):
    """Checks that arguments default to what the docstring says they do.

    Of a default of `None`, it says what that stands for.
    """
    arguments, found = inspect.getdoc(function).partition("\nArgs:\n")[2], 0
    for name, parameter in inspect.signature(function).parameters.items():
        text = re.search(
            rf"^    {name}: (.*?)(?=^    \w+: |^\S|\Z)", arguments, re.S | re.M
        )
        said = text and re.search(
            r"Defaults\s+to\s+(?:`(.*?)`|([\w.-]*\w))", text[1]
        )
        if said and parameter.default not in (None, inspect.Parameter.empty):
            assert parameter.default == ast.literal_eval(said[1] or said[2])
            found += 1
    assert found


def check_hidden(loss, true, pred):
    """Checks that what a mask hides of images may hold anything."""
    mask = np.ones(true.shape[:-1], "float32")
    mask[:, :2] = 0
    value = float(loss(true, pred, mask))
    assert value > 0
    for images in (true, pred):
        images[:, :2] = np.nan
    assert float(loss(true, pred, mask)) == pytest.approx(value, rel=1e-3)


def check_windows(distance, true, pred):
    """Checks that parts of features add up to the distance of the whole.

    The parts overlap by one column, which belongs to the first of them.
    """
    true, pred = map(keras.ops.convert_to_tensor, (true, pred))
    true, pred = (distance.see(distance.stage(x)) for x in (true, pred))
    zeros = keras.ops.zeros(len(next(iter(pred.values()))))
    state = distance.start(zeros)
    for part in (slice(None, 3), slice(2, None)):

        def own(rows, columns, stride, first=part.start or 0):
            return keras.ops.ones((rows, 1)) * keras.ops.cast(
                keras.ops.arange(columns) >= (first and 1), "float32"
            )

        state = {
            name: distance.add_window(
                name, state[name], true[name][:, :, part], x[:, :, part], own
            )
            for name, x in pred.items()
        }
    found, expected = distance.finish(state), distance.compare(true, pred)
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(found[name]),
            keras.ops.convert_to_numpy(x),
            rtol=1e-4,
            atol=1e-6,
        )
