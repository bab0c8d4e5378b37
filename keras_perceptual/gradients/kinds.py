"""What operations do, by the names that the backends have for them."""

import re

from keras_perceptual.gradients.replay import Operation


def kind_of(operation: Operation) -> str:
    """Returns what an operation is: `__mul__`, `mul_` and `Mul` are the same.

    The version that TensorFlow counts is left out, `AddV2` is `add`.
    """
    name, *_ = operation.kind.split(" ")
    return re.sub(r"v\d$", "", name.strip("_").lower())


# They look at the shape of a value, not at its numbers.
SHAPE_READERS = frozenset(
    "shape shapen size rank zeroslike oneslike "
    "zeros_like ones_like empty_like full_like broadcastgradientargs "
    "new_zeros new_ones new_full new_empty dim numel".split()
)
# A call that asks for gradients.
DIFFERENTIATION = frozenset(("gradient", "autograd.grad"))
# They make zeros of the shape of something.
ZEROS = frozenset(("zeroslike", "zeros_like"))
# They are seldom what was meant to carry a gradient.
COMPARISONS = frozenset(
    "equal notequal greater greaterequal less lessequal "
    "bitcast logicaland logicalor logicalnot isnan isfinite isinf "
    "eq ne gt ge lt le and or not xor isin is_finite invert "
    "logical_and logical_or logical_not not_equal greater_equal less_equal "
    "bitcast_convert_type".split()
)
# They hand on numbers, and no gradient.
STOPS = frozenset("stopgradient stop_gradient detach".split())
# They read a variable and do no more.
READERS = frozenset(
    "readvariableop resourcegather resourcegathernd identity".split()
)
# They stand for a choice: conditions go in, and at last what was chosen.
BRANCHES = frozenset(("if",))
# They hand a tensor to Python, which is not followed any further.
LEAVING = frozenset(
    "item local_scalar_dense numpy array tolist float int index complex".split()
)
# Python is asked for their gradient.
PYTHON = frozenset(("eagerpyfunc", "pure_callback"))
# What comes out of them in places other than the first are indices; those of
# JAX sort each input along with the first.
INDEXING = frozenset(
    "topk top_k sort max min mode median kthvalue cummax cummin unique "
    "unique_consecutive uniquewithcounts".split()
)

# They are level over a part of their range: where all that goes in lies there,
# no gradient comes back.
LEVEL = frozenset(
    "relu relu6 selu elu celu softplus gelu silu swish mish sigmoid tanh sign "
    "softsign clipbyvalue clamp clamp_min clamp_max clip hardtanh hardsigmoid "
    "hardswish hard_sigmoid hard_swish hard_tanh logistic logsigmoid "
    "log_sigmoid threshold erf".split()
)
SOFTMAX = frozenset(("softmax", "logsoftmax", "log_softmax"))
# Level on one side of their other input.
BOUNDS = frozenset(("minimum", "maximum", "min", "max"))
# Their derivative has no derivative.
RELUS = frozenset(
    "relu relu6 leakyrelu leaky_relu threshold hardtanh clamp clamp_min max "
    "maximum".split()
)
RELU_GRADIENTS = frozenset(
    "relugrad relu6grad leakyrelugrad threshold_backward hardtanh_backward "
    "leaky_relu_backward reluderivative".split()
)
# Where one factor is zero, nothing comes back to the other.
MULTIPLICATIONS = frozenset(("mul", "multiply", "rmul", "imul"))
PRODUCTS = MULTIPLICATIONS | frozenset(
    "matmul rmatmul batchmatmul mm mv bmm dot addmm addmv baddbmm linear "
    "einsum tensordot conv1d conv2d conv3d convolution "
    "depthwiseconv2dnative conv_transpose1d conv_transpose2d "
    "conv_transpose3d conv2dbackpropinput dot_general "
    "conv_general_dilated".split()
)
# They add their first input to the product of the two others.
ADDED_PRODUCTS = frozenset(("addmm", "addmv", "baddbmm"))
ADDITIONS = frozenset(
    "add radd iadd sub subtract rsub isub addn add_any biasadd".split()
)
DIFFERENCES = frozenset("sub subtract rsub isub".split())
DIVISIONS = frozenset("realdiv div truediv rtruediv divide true_divide".split())
# What comes back to one of their inputs is known, so that it can be told when
# the other ways from there cancel it out.
ELEMENTWISE = MULTIPLICATIONS | ADDITIONS | DIVISIONS
# The result is the same whatever the mean and the scale of what goes in.
NORMALIZATIONS = frozenset(
    "layer_norm native_layer_norm group_norm native_group_norm "
    "instance_norm rms_norm".split()
)
# They choose between values, and which of their inputs makes the choice.
CHOICES = {"select": 0, "where": 0, "select_n": 0, "masked_fill": 1}
# They put several values together.
JOINS = frozenset(
    "pack stack concat concatenate cat tensorlistfromtensor "
    "tensorliststack tensorlistsetitem tensorarraywrite".split()
)
# They put a value among zeros.
PADS = frozenset("stridedslicegrad pad select_backward slice_backward".split())
# They take a part of what is put together.
PARTS = frozenset(
    "slice stridedslice strided_slice getitem select split splitv "
    "split_with_sizes unpack unstack dynamic_slice narrow "
    "tensorlistgetitem tensorarrayread".split()
)
# They hand on the numbers that they are given, in another place or shape.
MOVING = frozenset(
    "identity reshape transpose permute squeeze unsqueeze expanddims "
    "expand_dims view contiguous clone cast convert_element_type to "
    "broadcastto broadcast_in_dim expand tile slice stridedslice "
    "strided_slice getitem pack unpack stack concat concatenate cat split "
    "pad copy readvariableop flatten t".split()
)

# Nothing is left out or added by them.
WHOLE = MOVING - PARTS - JOINS - PADS
# Large numbers make larger ones in them.
GROWING = (
    PRODUCTS
    | ADDITIONS
    | frozenset(
        "square pow integer_pow exp expm1 sum mean prod reduce_sum cumsum "
        "reduce_prod cumprod norm dist squareddifference squared_difference "
        "mse_loss l2loss sinh cosh".split()
    )
)
# No number but an infinite one makes what comes out of them, or comes back
# through them, infinite.
HARMLESS = (
    ADDITIONS
    | MOVING
    | frozenset("neg negative sum mean reduce_sum abs".split())
)
# Which of its inputs makes an operation, or its gradient, not finite: at zero,
# below zero, or where it is infinite.
RISKY = {
    **dict.fromkeys("sqrt rsqrt log log1p reciprocal inv pow exp".split(), 0),
    **dict.fromkeys("acos asin atanh acosh softmax logsoftmax".split(), 0),
    **dict.fromkeys("norm cholesky svd eigh linalg_eigh".split(), 0),
    **dict.fromkeys(DIVISIONS | {"xdivy", "xlogy", "atan2"}, 1),
}
POWERS = frozenset(("pow", "power"))
# What comes out of these is mostly kept away from zero.
GUARDS = frozenset("add maximum max const cast clamp".split())
