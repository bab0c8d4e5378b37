"""Why a gradient is zero."""

from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis

ZERO = Diagnosis(
    title="zero in every checked batch",
    status="zero",
    general=True,
    advice=(
        "Usual causes: a dead ReLU, a saturated or clipped activation, a "
        "softmax over a single value, a weight or mask of nothing but zeros, "
        "two factors that both start at zero, float16 numbers too small to "
        "represent. Look at the layers above and at what they receive."
    ),
)
SATURATED = Diagnosis(
    title="it ends where an operation is level",
    status="zero",
    permanent=True,
    advice=(
        "All inputs lie where the operation has no slope: below zero for a "
        "ReLU, outside the bounds for a clip or a hard sigmoid. Look at the "
        "biases and the scale of the inputs, lower the learning rate if they "
        "were driven there, or use an activation with a slope on both sides, "
        "such as `leaky_relu` or `gelu`."
    ),
)
SOFTMAX_OF_ONE = Diagnosis(
    title="it ends at a softmax over a single value",
    status="zero",
    permanent=True,
    advice=(
        "A softmax over a single value is always one, whatever goes in. Use "
        "`sigmoid` for a single unit. Apply the softmax over an axis with "
        "several values; in attention, that takes at least two keys."
    ),
)
STUCK = Diagnosis(
    title="it ends at a product whose other factor is zero and stays so",
    status="zero",
    permanent=True,
    advice=(
        "The other factor is zero, and what it is computed from receives no "
        "gradient either, so both stay as they are. If another part of this "
        "message explains that factor, mend it first. If both factors start "
        "at zero, initialize one of them with random numbers."
    ),
)
NO_STEP = Diagnosis(
    title="it ends at a loop that no step of counts",
    status="zero",
    permanent=True,
    advice=(
        "The result of the loop does not depend on what goes in. Usual cause: "
        "every step of the sequences is masked, for example because "
        "`mask_zero=True` takes class 0 for padding."
    ),
)
CANCELS = Diagnosis(
    title="it cancels out at an operation",
    status="zero",
    permanent=True,
    heading=("{found} a gradient of nothing but zeros and rounding errors"),
    advice=(
        "The result is the same whatever goes in: the sum of a softmax, for "
        "example, or a normalization over a single value. What is left of the "
        "gradient is rounding errors. Normalize over an axis with several "
        "values, or compute the loss from something that can vary."
    ),
)
TIMES_ZERO = Diagnosis(
    title="it is multiplied by a constant zero",
    status="zero",
    permanent=True,
    advice=(
        "A factor that is a constant of the program is zero: a Python number "
        "keeps the value that it had when the step was traced. Change the "
        "number, remove the term, or, if the factor is to change during "
        "training, make it a `keras.Variable(0.0, trainable=False)` and "
        "`assign` to it."
    ),
)
MASKED = Diagnosis(
    title="it is multiplied by a weight or mask of nothing but zeros",
    status="zero",
    advice=(
        "The data hold a weight or mask of nothing but zeros, so that no "
        "example counts. Look at `sample_weight` and at the masks of the "
        "inputs, and check whether the loss ignores all labels "
        "(`ignore_class`, class 0 taken for padding)."
    ),
)
SECOND_DERIVATIVE = Diagnosis(
    title="it ends at a second derivative that is zero everywhere",
    status="zero",
    permanent=True,
    advice=(
        "The loss holds a derivative of the output, and the operation "
        "consists of straight pieces, whose second derivative is zero. Use a "
        "smooth activation such as `tanh`, `softplus`, `gelu` or `silu`."
    ),
)
BLANK_INPUT = Diagnosis(
    title="its layer receives nothing but zeros",
    status="zero",
    advice=(
        "A kernel learns nothing from inputs that are all zero. Check the "
        "data and their scaling (division of integers, a wrong column, a "
        "blank image), and the layers before this one."
    ),
)
ZERO_UNDER_PENALTY = Diagnosis(
    title="zero but for the penalty on the weights",
    status="zero",
    later=True,
    permanent=True,
    heading=("{found} a gradient from a penalty on the weights alone"),
    advice=(
        "The gradient of the data is exactly zero. The regularizer alone "
        "moves them, toward zero. Usual causes: a dead ReLU, a saturated or "
        "clipped activation, a factor of zero."
    ),
)
DERIVATIVE_ONLY = Diagnosis(
    title="the loss depends on a derivative alone, in which it drops out",
    status="zero",
    ordinary=True,
    advice=(
        "The loss holds only a derivative of what they are added to, and a "
        "derivative does not see a constant. That is ordinary for the last "
        "bias of a potential: `ignore` it, pass `use_bias=False`, or add a "
        "term with the output itself."
    ),
)
CUT_IN_BRANCH = Diagnosis(
    title="cut off in a branch or loop that this batch took",
    status="zero",
    mends=True,
    advice=(
        "Every path from them to the loss goes through an operation that "
        "passes no gradient back, inside a condition or loop. Another batch "
        "may take another way."
    ),
)
