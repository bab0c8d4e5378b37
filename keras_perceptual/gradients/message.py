"""The words in which a failed gradient check is explained."""

import itertools

from keras_perceptual.gradients import reasons

# How many variables a message names before it only counts.
LONGEST_LIST = 12

ADVICE = {
    reasons.NONE: (
        "The loss does not depend on them in a way that can be "
        "differentiated. Usual causes: an operation without a gradient lies "
        "between them and the loss (argmax, rounding, a cast to integers, a "
        "comparison, code in NumPy, stop_gradient); the layer is built but "
        "not called, or no loss is computed from its output. Replace the "
        "operation by a differentiable one, use the layer, or freeze it with "
        "`layer.trainable = False`."
    ),
    reasons.NOT_HANDED: (
        "No optimizer of the model was called with them. Usual causes: a "
        "custom `train_step` that computes gradients for some of the "
        "variables only, or that forgets `optimizer.apply`. Pass "
        "`self.trainable_variables`, or freeze what is not to be trained with "
        "`layer.trainable = False`."
    ),
    reasons.NOT_RUN: (
        "The training step can give them to an optimizer, but did not do so "
        "in the checked batches, for example because of a condition. Raise "
        "`steps` if they take their turn later."
    ),
    reasons.STRANGER: (
        "The optimizer was built for other variables, those of another model "
        "or of this model before layers were added. Create a new optimizer "
        "and compile the model with it."
    ),
    reasons.CUT_LOSS: (
        "The loss is not connected to any variable by operations that can be "
        "differentiated. Usual causes: a loss that returns a constant, "
        "computes with NumPy or Python numbers, compares, counts or calls "
        "argmax. Compute the loss from `y_pred` with `keras.ops`."
    ),
    "zero": (
        "Usual causes: a dead ReLU or a saturated or clipped activation, a "
        "softmax over a single unit, a weight or mask of nothing but zeros, "
        "factors that both start at zero, float16 numbers too small to be "
        "represented. Look at the layers above and at what they receive."
    ),
    "nonfinite": (
        "The weights are NaN after such a step. Usual causes: sqrt, log or a "
        "division at zero, `where` around an operation that is not finite in "
        "the branch not taken, a mean over nothing, data that hold NaN. Guard "
        "the argument of the operation itself, for example with a small "
        "epsilon, and check the data."
    ),
}

HEADINGS = {
    "missing": "{count} of {total} trainable variables receive no gradient "
    "({reason})",
    "zero": "{count} of {total} trainable variables received a gradient of "
    "exactly zero in each of the {batches} checked batch(es)",
    "nonfinite": "{count} of {total} trainable variables received a gradient "
    "with NaN or infinity",
}


def describe(owner, offenders, total):
    """Explains the offenders of a check.

    Args:
        owner: The name of the object that checked.
        offenders: A `GradientReport` with nothing but the offenders.
        total: How many trainable variables there are.
    """
    kinds = {}
    for record in offenders:
        kinds.setdefault((record.status, record.reason), []).append(record)
    parts = [
        f"{owner}: a trainable variable is expected to receive a finite "
        "gradient that is not zero, but:"
    ]
    for (status, reason), records in kinds.items():
        heading = HEADINGS[status].format(
            count=len(records),
            total=total,
            reason=reason,
            batches=offenders.batches,
        )
        parts.append(f"{heading}:\n{list_by_layer(records)}")
        parts.append(ADVICE[reason or status])
    parts.append(opt_out(offenders))
    found = {}
    for record in offenders:
        found.setdefault(record.status, []).append(record.path)
    received = ", ".join(
        f"{status}={shorten(paths)}" for status, paths in found.items()
    )
    parts.append(f"Received: {received}")
    return "\n\n".join(parts)


def describe_all_frozen(owner, model_name):
    """Explains that a model has nothing to train."""
    return (
        f"{owner}: the model has no trainable variables, so `fit` cannot "
        "change anything. Usual causes: `trainable = False` was left on, or "
        "the layers are created inside `call` or kept where Keras does not "
        "track them. Set `model.trainable = True`, or create the layers in "
        '`__init__`. If this is intended, pass `on_missing="warn"`. '
        f"Received: model={model_name!r}, trainable_variables=[]"
    )


def describe_unmatched(owner, patterns, paths):
    """Explains that patterns to ignore fit no variable."""
    return (
        f"{owner}: no trainable variable fits these patterns in `ignore`, "
        "which are compared with `variable.path`. The paths are "
        f"{shorten(paths)}. Received: ignore={list(patterns)}"
    )


def list_by_layer(records):
    """Lists variables under the layers they belong to."""
    lines = []
    shown = records[:LONGEST_LIST]
    for (layer, layer_class), group in itertools.groupby(
        shown, key=lambda record: (record.layer, record.layer_class)
    ):
        lines.append(f"  layer {layer!r} ({layer_class})")
        lines += [f"    {record.path}  {record.shape}" for record in group]
    if len(records) > len(shown):
        lines.append(f"  and {len(records) - len(shown)} more")
    return "\n".join(lines)


def opt_out(offenders):
    """Says how to go on without the check, if that is what is wanted."""
    paths = [record.path for record in offenders]
    arguments = sorted({f'on_{record.status}="warn"' for record in offenders})
    return (
        "If this is intended, leave the variables out with "
        f"`ignore={shorten(paths)}`, or pass `{', '.join(arguments)}`. The "
        "whole table is in `.report`."
    )


def shorten(paths):
    """Returns a list of names as text, without the tail of a long one."""
    paths = list(paths)
    if len(paths) <= LONGEST_LIST:
        return repr(paths)
    shown = ", ".join(map(repr, paths[:LONGEST_LIST]))
    return f"[{shown}, and {len(paths) - LONGEST_LIST} more]"
