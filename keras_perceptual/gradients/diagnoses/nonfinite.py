"""Why a gradient is NaN or infinite."""

from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis

NONFINITE = Diagnosis(
    title="NaN or infinity in the gradient",
    status="nonfinite",
    general=True,
    mends=True,
    advice=(
        "After such a step the weights are NaN. Usual causes: `sqrt`, `log` "
        "or a division at zero, `where` around an operation that is not "
        "finite in the branch not taken, a mean over nothing, NaN in the "
        "data. Guard the argument of the operation itself, for example with "
        "a small epsilon, and check the data."
    ),
)
MADE_FORWARD = Diagnosis(
    title="NaN or infinity is computed",
    status="nonfinite",
    mends=True,
    advice=(
        "What goes into the operation is finite, and what comes out is not. "
        "After such a step the weights are NaN."
    ),
)
MADE_BACKWARD = Diagnosis(
    title="the derivative is NaN or infinite",
    status="nonfinite",
    mends=True,
    advice=(
        "The operation itself is finite there, and its derivative is not. "
        "After such a step the weights are NaN."
    ),
)
IN_DATA = Diagnosis(
    title="NaN or infinity in the data",
    status="nonfinite",
    advice=(
        "The batch itself holds them, and everything computed from it does "
        "too. Check with `np.isfinite(x).all()`. Fill the gaps, drop those "
        "rows, or replace the values before they are computed with and give "
        "them a `sample_weight` of 0 (NaN times 0 is NaN)."
    ),
)
DIVERGED = Diagnosis(
    title="the numbers grew until they overflowed",
    status="nonfinite",
    advice=(
        "No operation is at fault: the weights became too large in a step "
        "before this one. Lower the learning rate, clip the gradients "
        "(`clipnorm=1.0` of the optimizer), and scale the data: inputs and "
        "targets should be of a size near 1."
    ),
)
IMPOSSIBLE_LABELS = Diagnosis(
    title="labels that no output can match",
    status="nonfinite",
    advice=(
        "The loss of such an example is infinite. CTC needs at least as many "
        "time steps as there are labels, and one more between two equal "
        "labels in a row. Shorten the labels, keep more time steps (less "
        "pooling, smaller strides), or drop those examples."
    ),
)
SCALE_EXHAUSTED = Diagnosis(
    title="the gradient overflows at every loss scale",
    status="nonfinite",
    advice=(
        "Dynamic loss scaling skips each step and lowers the scale, without "
        "an end. The overflow is in the computation: float16 ends at 65504. "
        'Compute the loss and large sums in float32 (`dtype="float32"` for '
        "those layers), use `mixed_bfloat16`, or see what is infinite in "
        "float32 too."
    ),
)
