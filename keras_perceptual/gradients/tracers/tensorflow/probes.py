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
        A tensor shaped `(numbers,)`, for `zeros.unpack_readings`.
    """
    # A loop takes more inputs once its gradient has been built.
    inputs = [_inputs(operation) for operation in operations]
    outputs = [list(operation.native.outputs) for operation in operations]
    tensors = [
        tensor
        for tensor in itertools.chain(*inputs, *outputs)
        if tensor is not None and tensor.dtype.is_floating
    ]
    gradients = dict(
        zip(map(id, tensors), tf.gradients(targets, tensors), strict=True)
    )
    numbers = []
    for operation, below, above in zip(
        operations, inputs, outputs, strict=True
    ):
        # What goes into a loop is not looked at.
        sizes = [None] * len(below) if zeros.is_loop(operation) else below
        gradient = gradients.get(id(above[0]))
        numbers += [
            tf.reduce_max([_size(gradients.get(id(t))) for t in above]),
            *(_size(gradients.get(id(t))) for t in below),
            *map(_size, sizes),
            *(
                _size(_contribution(operation, gradient, below, place))
                for place in range(len(below))
            ),
        ]
    return tf.stack(numbers)


def _inputs(operation):
    """Returns what goes in, and `None` for what was written to a variable."""
    inputs = list(operation.native.inputs)
    return inputs + [None] * (len(operation.inputs) - len(inputs))


def _contribution(operation, gradient, inputs, place):
    """Returns what an operation adds to the gradient of an input, if known."""
    if not isinstance(gradient, tf.Tensor) or inputs[place] is None:
        return None
    if inputs[place].shape.as_list() != gradient.shape.as_list():
        return None
    return zeros.contribution(operation, gradient, inputs, place)


def _size(tensor):
    """Returns the largest size in a tensor, 0 for none and for integers."""
    if isinstance(tensor, tf.IndexedSlices):
        tensor = tensor.values
    if tensor is None or not tensor.dtype.is_floating:
        return tf.constant(0.0)
    return tf.cast(tf.reduce_max(tf.abs(tensor)), "float32")
