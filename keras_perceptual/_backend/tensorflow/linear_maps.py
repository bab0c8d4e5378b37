"""Linear maps that know their own transpose."""

import tensorflow as tf


def apply_linear(forward, transpose, *inputs):
    """Returns `forward(*inputs)`, with `transpose` as its gradient.

    In a graph the derivative of every slice is a whole image of zeros with
    the slice in it; a map cut into a dozen slices is better told its
    transpose. Derivatives of any order are exact.

    Args:
        forward: Function of tensors that returns a tuple of tensors and is
            linear in them.
        transpose: The transposed map, the other way round.
        *inputs: Tensors.
    """

    @tf.custom_gradient
    def run(*tensors):
        def gradient(*upstream):
            return apply_linear(transpose, forward, *upstream)

        return forward(*tensors), gradient

    return tuple(run(*inputs))
