"""Why a gradient is not as it should be: every cause that the check knows.

A cause is data, one row of this file: what a report calls it, what a message
says about it, and how it is judged. A new cause costs a new row.
"""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """One cause.

    Attributes:
        title: What `GradientRecord.reason` says.
        status: The status of the variables: `"missing"`, `"zero"`,
            `"nonfinite"` or `"untracked"`.
        advice: What it means, and what to do.
        heading: What stands over the variables; `""` for the heading of the
            status. `{found}` is replaced by how many variables there are,
            `{batches}` by how many batches.
        mends: Whether advice by operation stands under each place.
        certain: Whether it may be raised; otherwise it is only warned about.
        later: Whether later batches may prove it wrong, so that it is judged
            at the end of the checked batches.
        permanent: Whether no batch can end it. Zeros are then raised about.
        general: Whether it says no more than the status does, so that any
            other cause tells more.
        ordinary: Whether models that are well have such variables, so that
            leaving them out is as likely a mend as any other.
        in_function: The advice where a function is checked rather than a
            training step, or `""` for the same.
        on_backend: Sentences that are added to the advice on one backend, by
            its name.
    """

    title: str
    status: str
    advice: str
    heading: str = ""
    mends: bool = False
    certain: bool = True
    later: bool = False
    permanent: bool = False
    general: bool = False
    ordinary: bool = False
    in_function: str = ""
    on_backend: Mapping[str, str] = dataclasses.field(
        default_factory=dict, hash=False
    )


_FREEZE = "freeze them with `layer.trainable = False`"
_DECIDED_ONCE = (
    "A Python `if` in `train_step` is decided once, while the step is traced: "
    "choose with `keras.ops.cond` or `tf.cond`, and count the steps in a "
    "`keras.Variable`."
)
_STATELESS = (
    "A custom `train_step` on JAX must call the model with "
    "`self.stateless_call(trainable_variables, ...)`: `self(x)` reads stored "
    "values, which `jax.grad` takes for constants."
)

# No gradient.

NONE = Diagnosis(
    title="no path from the loss",
    status="missing",
    general=True,
    advice=(
        "Nothing that can be differentiated connects them to the loss. Usual "
        "causes: an operation without a gradient on the way (argmax, "
        "rounding, a cast to integers, a comparison, NumPy code, "
        "`stop_gradient`), a layer that is built and not called, an output "
        "without a loss. Replace the operation, use the layer, or "
        f"{_FREEZE}."
    ),
    in_function=(
        "Nothing that can be differentiated connects them to the result. "
        "Usual causes: an operation without a gradient on the way (argmax, "
        "rounding, a cast to integers, a comparison, NumPy code, "
        "`stop_gradient`), or values computed outside the function, which are "
        "constants inside it."
    ),
)
CUT = Diagnosis(
    title="cut off from the loss",
    status="missing",
    mends=True,
    advice=(
        "Every path from them to the loss goes through an operation that "
        "passes no gradient back."
    ),
)
UNUSED = Diagnosis(
    title="never used in the training step",
    status="missing",
    ordinary=True,
    advice=(
        "Their layer is built, but the training step never calls it. Call it, "
        "or take it out of the model. If the model calls it in training mode "
        "only, pass `training=True` where the step calls the model."
    ),
    in_function=(
        "The function never reads them. What was computed from them outside "
        "the function is a constant inside it: move that computation inside."
    ),
    on_backend={"jax": _STATELESS},
)
SKIPPED = Diagnosis(
    title="not used in the checked batches, because of a condition",
    status="missing",
    later=True,
    certain=False,
    advice=(
        "What calls their layer depends on a condition that another batch may "
        "meet, as the choice of an expert does. Raise `steps` to look at more "
        "batches. What is never called may be taken out of the model."
    ),
)
UNUSED_IN_CALLED_LAYER = Diagnosis(
    title="never used by its layer, although that is called",
    status="missing",
    advice=(
        "The layer is called and computes without them. Use them in `call`, or "
        "do not create them. What is computed from a variable in `__init__` or "
        "`build` is a number from then on: move that computation to `call`."
    ),
    on_backend={"jax": _STATELESS},
)
NO_LOSS = Diagnosis(
    title="nothing computed from it enters the loss",
    status="missing",
    ordinary=True,
    advice=(
        "The step computes with them, but no loss is computed from the "
        f"result. Give that output a loss, or {_FREEZE}."
    ),
    in_function=(
        "The function computes with them, but what it returns does not depend "
        "on the result. Add the result to the loss, or check fewer variables."
    ),
)
OTHER_LOSS = Diagnosis(
    title="the loss that is differentiated by it does not depend on it",
    status="missing",
    advice=(
        "The step asks for the gradient of a loss by them that is computed "
        "from something else. Differentiate the loss that they are to lower, "
        "and compute it from what they compute."
    ),
)
IGNORES_MODEL = Diagnosis(
    title="the loss does not depend on the model",
    status="missing",
    advice=(
        "The loss is a constant, or depends on the data alone. Compute it "
        "from `y_pred`, the second argument of a loss, with `keras.ops`. For "
        "a derivative of the output, watch the very tensor that the model was "
        "called with (`tape.watch(x)` before `self(x)`): by any other tensor, "
        "the derivative is zero."
    ),
    in_function=(
        "What the function returns is a constant for all of the variables. "
        "What was computed from them outside the function is a constant "
        "inside it: move that computation inside."
    ),
    on_backend={"jax": _STATELESS},
)
IGNORES_PREDICTION = Diagnosis(
    title="the loss does not use `y_pred`",
    status="missing",
    advice=(
        "The loss never looks at the prediction: it is computed from the "
        "labels alone, or calls a layer of the model on something else, such "
        "as `y_true`. Compute it from `y_pred`, the second argument of a loss."
    ),
)
LEFT = Diagnosis(
    title="the computation leaves the backend",
    status="missing",
    advice=(
        "There a tensor becomes a Python number or a NumPy array, which "
        "carries no gradient. Keep it a tensor up to the loss: no `float()`, "
        "`.item()`, `.numpy()`, `np.asarray` or `predict` on the way, and "
        "`keras.ops` in the place of NumPy."
    ),
)
PENALTY = Diagnosis(
    title="only the penalty on the weights reaches it",
    status="missing",
    mends=True,
    advice=(
        "The loss of the data does not reach them. The regularizer alone "
        "moves them, toward zero."
    ),
)
NOT_ASKED = Diagnosis(
    title="the training step asks for no gradient of it",
    status="missing",
    later=True,
    advice=(
        "A custom `train_step` differentiates by other variables only. "
        "Differentiate by `self.trainable_variables`, or freeze what is not "
        f"to be trained with `layer.trainable = False`. {_DECIDED_ONCE}"
    ),
)
LEFT_ALONE = Diagnosis(
    title="no gradient reaches it, and the step asks for none",
    status="missing",
    later=True,
    certain=False,
    advice=(
        "That is as it should be for a teacher, a target network or a copy "
        "for inference: set `trainable = False` on them before `compile`. "
        "What is to be trained has to be called where gradients are taken, "
        "and the step has to differentiate by `self.trainable_variables`."
    ),
)
NOT_APPLIED = Diagnosis(
    title="its gradient is computed but never applied",
    status="missing",
    later=True,
    advice=(
        "The step computes their gradient and gives it to no optimizer. Pass "
        "all of them on: `self.optimizer.apply(gradients, "
        f"self.trainable_variables)`. {_DECIDED_ONCE}"
    ),
)
NOT_HANDED = Diagnosis(
    title="never given to an optimizer",
    status="missing",
    later=True,
    general=True,
    advice=(
        "No optimizer of the model was given them. Usual causes: a custom "
        "`train_step` that computes gradients of some variables only, or that "
        "does not call `optimizer.apply`. Pass `self.trainable_variables`, or "
        "freeze what is not to be trained with `layer.trainable = False`. "
        f"{_DECIDED_ONCE}"
    ),
)
NOT_RUN = Diagnosis(
    title="its optimizer did not run",
    status="missing",
    later=True,
    certain=False,
    advice=(
        "An optimizer holds them, but it was not called in the checked "
        "batches, for example because of a condition. Raise `steps` if their "
        f"turn comes later. {_DECIDED_ONCE}"
    ),
)
WRITTEN = Diagnosis(
    title="the step writes to it, and no gradient comes to it",
    status="missing",
    certain=False,
    advice=(
        "It is a state rather than a weight, such as a counter or a running "
        "mean: create it with `trainable=False`."
    ),
)
STRANGER = Diagnosis(
    title="unknown to the optimizer",
    status="missing",
    advice=(
        "The optimizer was built for other variables: for those of another "
        "model, or of this one before layers were added or unfrozen. Create a "
        "new optimizer and call `model.compile` with it."
    ),
)
FAILS = Diagnosis(
    title="the gradient of Python code fails",
    status="missing",
    mends=True,
    advice=(
        "The backend would have to differentiate Python code and cannot. "
        "Write it with `keras.ops`, or give the function a gradient of its "
        "own (`keras.ops.custom_gradient`)."
    ),
    on_backend={
        "tensorflow": (
            "In `tf.py_function`, code that uses NumPy or `.numpy()` has a "
            "single zero for a gradient, whatever the shape, and the step "
            "fails with a message about shapes."
        ),
        "jax": (
            "JAX does not differentiate a callback by itself: with "
            "`jax.custom_jvp` it can be told the derivative."
        ),
    },
)
CUT_LOSS = Diagnosis(
    title="the loss has no gradient",
    status="missing",
    general=True,
    mends=True,
    advice=(
        "Nothing that can be differentiated connects the loss to any "
        "variable. Usual causes: a loss that returns a constant, computes "
        "with NumPy or Python numbers, compares, counts, or calls argmax. "
        "Compute it from `y_pred` with `keras.ops`."
    ),
)
TOO_EARLY = Diagnosis(
    title="its gradient is read before `backward()`, or after `zero_grad()`",
    status="missing",
    advice=(
        "`.grad` is empty until `loss.backward()` has run. Read the gradients "
        "after `backward()`, and call `self.zero_grad()` before it."
    ),
)
LOSS_LEFT_OUT = Diagnosis(
    title="the losses of `add_loss` that need it are left out",
    status="missing",
    advice=(
        "Layers add losses with `add_loss` that would reach them, but the "
        "step differentiates without these. Add `sum(self.losses)` to the "
        "loss, or compute it with `self.compute_loss`."
    ),
    on_backend={
        "jax": (
            "On JAX, call the model with `self.stateless_call(..., "
            "return_losses=True)` and add the losses that it returns."
        ),
    },
)
OUTSIDE = Diagnosis(
    title="never used inside the function",
    status="missing",
    advice=(
        "What is computed outside the function is a constant inside it: move "
        "what uses these variables inside. Otherwise, check fewer variables."
    ),
)
FROZEN_IN_STEP = Diagnosis(
    title="frozen while the training step runs",
    status="missing",
    later=True,
    advice=(
        "They were trainable when `fit` began, and the step sets `trainable = "
        "False` before it reads `self.trainable_variables`. Set it before "
        "`compile`, or leave the flag alone and choose the variables in the "
        f"step. {_DECIDED_ONCE}"
    ),
)

# Variables that the model does not know of.

UNTRACKED = Diagnosis(
    title="not among the variables of the model",
    status="untracked",
    advice=(
        "Keras does not track them, so nothing will ever train them. Create "
        "a variable with `self.add_weight` in a layer. Keep layers as "
        "attributes of a layer or model, or in lists, tuples and dictionaries "
        "there. If they are not to be trained, set `trainable = False`."
    ),
    on_backend={
        "torch": (
            "Keep a `torch.nn.Module` as an attribute, or wrap it in "
            "`keras.layers.TorchModuleWrapper`: in a plain list it is not "
            "tracked. Freeze it with `requires_grad_(False)`."
        ),
    },
)
UNTRAINED = Diagnosis(
    title="used by the training step, trained by nobody",
    status="untracked",
    certain=False,
    advice=(
        "If they are meant to stay as they are, set `trainable = False`. "
        "Otherwise let Keras track them: create them with `self.add_weight`, "
        "or keep their layer as an attribute of the model."
    ),
)

# Zeros.

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

# NaN and infinity.

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

ALL = tuple(row for row in vars().copy().values() if type(row) is Diagnosis)
_BY_TITLE = {row.title: row for row in ALL}
_GENERAL = {
    "missing": NONE,
    "zero": ZERO,
    "nonfinite": NONFINITE,
    "untracked": UNTRACKED,
}


def find(title: str, status: str = "missing") -> Diagnosis:
    """Returns the `Diagnosis` of a title.

    Args:
        title: What `GradientRecord.reason` says.
        status: The status of the record, whose general row is returned where
            the title is empty or unknown.
    """
    return _BY_TITLE.get(title) or _GENERAL[status]
