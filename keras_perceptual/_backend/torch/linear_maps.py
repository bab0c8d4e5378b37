"""Linear maps that know their own transpose."""

import torch


def apply_linear(forward, transpose, *inputs):
    """Returns `forward(*inputs)`, with `transpose` as its gradient.

    The derivative of every slice is a whole image of zeros with the slice in
    it; a map cut into a dozen slices is better told its transpose.
    Derivatives of any order are exact.

    Args:
        forward: Function of tensors that returns a tuple of tensors and is
            linear in them.
        transpose: The transposed map, the other way round.
        *inputs: Tensors.
    """
    return LinearMap.apply(forward, transpose, *inputs)


class LinearMap(torch.autograd.Function):
    """What `apply_linear` records for its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(forward, transpose, *inputs):
        """Computes the map."""
        del transpose
        return forward(*inputs)

    @staticmethod
    def setup_context(context, inputs, output):
        """Remembers the two maps, the other way round."""
        forward, transpose, *_ = inputs
        context.maps = transpose, forward

    @staticmethod
    def backward(context, *upstream):
        """Computes the transpose, which can be differentiated again."""
        return None, None, *apply_linear(*context.maps, *upstream)
