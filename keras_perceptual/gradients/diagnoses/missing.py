"""Why a variable has no gradient."""

from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis

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
