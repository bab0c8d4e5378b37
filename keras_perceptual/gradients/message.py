"""The words in which a failed gradient check is explained."""

import itertools

from keras_perceptual.gradients import reasons
from keras_perceptual.gradients.mends import find_mend

# How many variables a message names before it only counts.
LONGEST_LIST = 12
# Where an operation without a gradient is to blame.
MENDABLE = (reasons.CUT, reasons.PENALTY)
# How many places it shows in the code.
MOST_PLACES = 3

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
    reasons.CUT: (
        "Every way from them to the loss leads through an operation without a "
        "gradient."
    ),
    reasons.UNUSED: (
        "The layer is built, but the training step does not call it. Call it, "
        "or take it out of the model."
    ),
    reasons.NO_LOSS: (
        "They are computed with, but no loss is computed from the result. "
        "Give that output a loss, or freeze it with `layer.trainable = False`."
    ),
    reasons.IGNORES_MODEL: (
        "The loss is a constant or depends on the data alone. Compute it from "
        "`y_pred`, the second argument of a loss, with `keras.ops`."
    ),
    reasons.LEFT: (
        "There a tensor becomes a Python number or a NumPy array, which have "
        "no gradient. Stay with tensors and `keras.ops`: no `float`, `.numpy()`"
        ", `np.asarray` or `predict` on the way to the loss."
    ),
    reasons.PENALTY: (
        "The loss of the data does not reach them: a regularizer alone makes "
        "them smaller and smaller."
    ),
    reasons.NOT_ASKED: (
        "A custom `train_step` computes gradients for other variables only. "
        "Differentiate with respect to `self.trainable_variables`, or freeze "
        "what is not to be trained with `layer.trainable = False`."
    ),
    reasons.NOT_APPLIED: (
        "No optimizer is called with them. Call `self.optimizer.apply("
        "gradients, self.trainable_variables)` at the end of `train_step`."
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
    reasons.UNTRACKED: (
        "The step computes with them, but nothing will ever train them: Keras "
        "does not find them. Make a plain variable by `self.add_weight` in a "
        "layer, and keep layers as attributes of a model or layer, or in "
        "lists, tuples and dictionaries there. If they are not to be trained, "
        "set `trainable = False`."
    ),
    reasons.UNTRAINED: (
        "If they are meant to stay as they are, say so with `trainable = "
        "False`; else let the model know of them, as attributes of a layer."
    ),
    reasons.FAILS: (
        "TensorFlow differentiates the code in `tf.py_function`. Where that "
        "uses NumPy or `.numpy()`, the gradient is a single zero, whatever the "
        "shape, and the step fails with a message about shapes. Write the "
        "function with `keras.ops`; a table of colours is "
        "`keras_perceptual.LookupColorLayer`."
    ),
    reasons.CUT_LOSS: (
        "The loss is not connected to any variable by operations that can be "
        "differentiated. Usual causes: a loss that returns a constant, "
        "computes with NumPy or Python numbers, compares, counts or calls "
        "argmax. Compute the loss from `y_pred` with `keras.ops`."
    ),
    reasons.SATURATED: (
        "All that goes in lies where the operation has no slope: below zero "
        "for a ReLU, beyond the bounds for a clip or a hard sigmoid, and "
        "everywhere for a softmax over a single unit. Look at the biases and "
        "the scale of what goes in, use an activation with a slope on both "
        "sides, or `sigmoid` for a single unit."
    ),
    reasons.STUCK: (
        "The other factor is zero, and what it is computed from gets no "
        "gradient either: both stay as they are. If something above is named "
        "as the cause of that, mend it first. Of two factors that both start "
        "at zero, start one with random numbers."
    ),
    reasons.NO_STEP: (
        "Usual cause: all steps of a sequence are masked, for example since "
        "class 0 is taken for padding by `mask_zero=True`."
    ),
    reasons.CANCELS: (
        "The result is the same whatever goes in: the sum of a softmax, for "
        "example, or what a normalisation over a single value leaves. What "
        "little there is of the gradient are rounding errors. Normalise over "
        "an axis with several values, or compute the loss from something that "
        "can vary."
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
    reasons.CANCELS: "{count} of {total} trainable variables received a "
    "gradient of nothing but zeros and rounding errors",
    "nonfinite": "{count} of {total} trainable variables received a gradient "
    "with NaN or infinity",
    "untracked": "{count} variables besides the {total} trainable ones are "
    "computed with and not trained ({reason})",
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
        key = (record.status, record.reason, record.culprits)
        kinds.setdefault(key, []).append(record)
    parts = [f"{owner}: {summarize(kinds, total)}"]
    for (status, reason, culprits), records in kinds.items():
        heading = HEADINGS.get(reason, HEADINGS[status]).format(
            count=len(records),
            total=total,
            reason=reason,
            batches=offenders.batches,
        )
        parts.append(f"{heading}:\n{list_by_layer(records)}")
        advice = [ADVICE[reason or status]]
        if status == "nonfinite" and culprits:
            advice.append("Operations on the way that can make such numbers:")
        if culprits:
            advice += describe_places(culprits, mend=reason in MENDABLE)
        parts.append("\n".join(advice))
    parts += [opt_out(offenders), received(offenders)]
    return "\n\n".join(parts)


def describe_passing_zeros(owner, offenders, total):
    """Mentions zeros that may well be there on purpose, in one line.

    Args:
        owner: The name of the object that checked.
        offenders: A `GradientReport` with nothing but the zeros.
        total: How many trainable variables there are.
    """
    heading = HEADINGS["zero"].format(
        count=len(offenders), total=total, batches=offenders.batches
    )
    return (
        f"{owner}: {heading}. That is ordinary for a gate that is closed or a "
        "branch that starts at zero; if it is not meant to be, look at what "
        'these layers receive, or pass `on_zero="raise"` for the whole story; '
        "if it is, leave them out with `ignore`. " + received(offenders)
    )


def received(offenders):
    """Returns the end of a message, the offenders by status."""
    found = {}
    for record in offenders:
        found.setdefault(record.status, []).append(record.path)
    return "Received: " + ", ".join(
        f"{status}={shorten(paths)}" for status, paths in found.items()
    )


def summarize(kinds, total):
    """Says in one sentence what is wrong, and where it begins.

    Args:
        kinds: The offending records, by what they have in common.
        total: How many trainable variables there are.
    """
    counts = {True: 0, False: 0}
    for (status, *_), records in kinds.items():
        counts[status == "untracked"] += len(records)
    found = f"{counts[False]} of {total} trainable variables cannot learn"
    if counts[True]:
        found += f", and {counts[True]} more are not trained at all"
    text = (
        f"{found}. A finite gradient that is not zero was expected for each "
        "of them."
    )
    for _, reason, culprits in kinds:
        if culprits:
            reason = reason or "most likely made"
            return f"{text}\n{reason[0].upper()}{reason[1:]}: {culprits[0]}" + (
                f"\n    {culprits[0].code}" if culprits[0].code else ""
            )
    return text


def describe_places(places, *, mend):
    """Says for each place what happens there and, if asked, how to mend it.

    Args:
        places: A tuple of `Place`.
        mend: Whether the operations have no gradient.
    """
    lines = []
    for place in places[:MOST_PLACES]:
        lines.append(f"  {place}")
        if place.code:
            lines.append(f"    in {place.within}: {place.code}")
        if mend:
            sentences = find_mend(place.operation, place.layer_class)
            lines.append("    " + " ".join(sentences))
    if len(places) > MOST_PLACES:
        lines.append(f"  and {len(places) - MOST_PLACES} more")
    return lines


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
    kinds = {"untracked": "missing"}
    arguments = sorted(
        {f'on_{kinds.get(r.status, r.status)}="warn"' for r in offenders}
    )
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
