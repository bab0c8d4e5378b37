"""Reading numbers inside a training step, for TensorFlow."""

import itertools

import tensorflow as tf

from keras_perceptual.gradients import zeros


def read_operations(operations, targets):
    """Returns numbers of operations of the graph that is being built.

    Args:
        operations: A list of `Operation`.
        targets: The tensors that are differentiated.

    Returns:
        A tensor shaped `(numbers,)`, and how many inputs each operation has,
        for `to_readings`.
    """
    # A loop takes more inputs once its gradient has been built.
    inputs = [list(operation.native.inputs) for operation in operations]
    outputs = [list(operation.native.outputs) for operation in operations]
    tensors = [
        tensor
        for tensor in itertools.chain(*inputs, *outputs)
        if tensor.dtype.is_floating
    ]
    gradients = dict(
        zip(
            [tensor.ref() for tensor in tensors],
            tf.gradients(targets, tensors),
            strict=True,
        )
    )
    numbers = []
    for operation, below, above in zip(
        operations, inputs, outputs, strict=True
    ):
        numbers += [
            tf.reduce_max([_size(gradients.get(t.ref())) for t in above]),
            *[_size(gradients.get(t.ref())) for t in below],
        ]
        # What goes into a loop is not looked at.
        plain = not zeros.is_loop(operation)
        numbers += [_size(t if plain else None) for t in below]
        gradient = gradients.get(above[0].ref())
        numbers += [
            _size(_contribution(operation, gradient, below, place))
            for place in range(len(below))
        ]
    return tf.stack(numbers), [len(below) for below in inputs]


def to_readings(operations, numbers, counts):
    """Returns the `Reading` of each operation."""
    readings = {}
    numbers = iter(float(number) for number in numbers)
    for operation, count in zip(operations, counts, strict=True):
        readings[operation] = zeros.Reading(
            next(numbers),
            *(tuple(next(numbers) for _ in range(count)) for _ in range(3)),
        )
    return readings


def _contribution(operation, gradient, inputs, place):
    """Returns what an operation adds to the gradient of an input, if known."""
    if not zeros.is_elementwise(operation) or not isinstance(
        gradient, tf.Tensor
    ):
        return None
    if inputs[place].shape.as_list() != gradient.shape.as_list():
        return None
    if zeros.is_product(operation):
        return gradient * inputs[1 - place]
    return gradient


def _size(tensor):
    """Returns the largest size in a tensor, 0 for none and for integers."""
    if isinstance(tensor, tf.IndexedSlices):
        tensor = tensor.values
    if tensor is None or not tensor.dtype.is_floating:
        return tf.constant(0.0)
    return tf.cast(tf.reduce_max(tf.abs(tensor)), "float32")
