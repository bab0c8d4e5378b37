"""The words of the recorder."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_perceptual.gradients.paragraphs import (
    MOST_PLACES,
    Group,
    mend_at,
    shorten,
)
from keras_perceptual.gradients.recorder.blame import Blame
from keras_perceptual.gradients.recorder.incident import Incident
from keras_perceptual.gradients.recorder.readings import Reading
from keras_perceptual.gradients.recorder.rules import RULES

# How many terms of a loss are named.
MOST_NAMES = 6
_DONE = {
    "stop": ("Training stops, with the weights as they were before that step."),
    "warn": "Training continues.",
    "skip": "That step is left out, and training continues.",
}
_IN_LOOP = {
    "stop": "`watch` returns False: leave the loop.",
    "warn": "The loop goes on.",
    "skip": "`watch` returns False: leave the optimizer out in such steps.",
}


def explain(
    found: Blame | None, terms: Mapping[str, float] | None = None
) -> str:
    """Says what broke a step, in which layer and line, and what to do.

    Args:
        found: The `Blame`, `None` where there is none.
        terms: The values of the terms of the loss, as far as they are known.
    """
    named = name_terms(terms or {})
    if found is None or found.cause.diagnosis is None:
        return named
    cause, diagnosis = found.cause, found.cause.diagnosis
    group = Group(diagnosis, "nonfinite", cause.places, cause.note, ())
    lines = [group.title + (f": {cause.note}" if cause.note else "")]
    for place in cause.places[:MOST_PLACES]:
        lines.append(f"  {place}")
        if place.code:
            lines.append(f"    in {place.within}: {place.code}")
        lines += [f"    {mend}" for mend in mend_at(group, (place,))]
    lines.append(diagnosis.advice)
    if found.samples:
        lines.append(name_samples(found.samples))
    return "\n".join([*lines, named] if named else lines)


def name_terms(terms: Mapping[str, float]) -> str:
    """Says which terms of a loss are broken, `""` of a loss of one term."""
    broken = [name for name, x in terms.items() if not math.isfinite(x)]
    if len(terms) < 2 or not broken:
        return ""
    if len(broken) == len(terms):
        return "Every term of the loss is NaN or infinite."
    well = [name for name in terms if name not in broken]
    verb = "are" if len(broken) > 1 else "is"
    return (
        f"Of the terms of the loss, {_list(broken)} {verb} NaN or infinite, "
        f"and {_list(well)} {'are' if len(well) > 1 else 'is'} finite."
    )


def _list(names: Sequence[str]) -> str:
    """Returns names in quotation marks, the first few of many."""
    shown = ", ".join(map(repr, names[:MOST_NAMES]))
    more = len(names) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def name_samples(samples: Sequence[int]) -> str:
    """Says which samples of a batch are to blame."""
    if len(samples) == 1:
        return f"Sample {samples[0]} of the batch does it alone."
    names = ", ".join(map(str, samples[:12]))
    more = f" and {len(samples) - 12} more" if len(samples) > 12 else ""
    return f"Samples {names}{more} of the batch do it, each alone."


def announce(
    owner: str,
    number: int,
    text: str,
    trouble: str,
    *,
    policy: str,
    incident: Incident | None,
    folder: Any,
) -> str:
    """Returns the warning about a step that broke.

    Args:
        owner: The name of the object that records.
        number: The number of the step.
        text: What `explain` returned.
        trouble: What could not be found out or done, or `""`.
        policy: `on_nonfinite`.
        incident: The `Incident`, if the step is known.
        folder: Where it was written, or `None`.
    """
    if incident is None:
        done = "Training stops." if policy == "stop" else _DONE["warn"]
        return (
            f"{owner}: the loss or weights are NaN or infinite after step "
            f"{number}, and the step that began it is not known: {trouble}. "
            f"{done} Check the first batches with `GradientSanityCallback`, "
            f"or a batch with `check_gradients`. Received: step={number}"
        )
    parts = [
        f"{owner}: step {number} made the loss or weights NaN or infinite."
    ]
    if text:
        parts.append(text)
    parts.append(_DONE[policy])
    if trouble:
        parts.append(f"Note that {trouble}")
    if folder is not None:
        parts.append(
            "The batch and the state before the step are kept. To run it "
            f"again: keras_perceptual.replay({str(folder)!r}, model)"
        )
    else:
        parts.append(
            "Pass `log_dir` to have the batch and the state before the step "
            "written to a folder."
        )
    parts.append(f"Received: step={number}, epoch={incident.epoch}")
    return "\n".join(parts)


def describe_sign(kind: str, names: Sequence[str], reading: Reading) -> str:
    """Says what a step showed, with the numbers that were read of it.

    Args:
        kind: The name of the rule.
        names: The paths of variables or layers.
        reading: The `Reading` of that step.
    """
    (rule,) = (rule for rule in RULES if rule.name == kind)
    lines = [f"{_list(names)} {rule.title}. {rule.advice}"]
    for name in names[:MOST_NAMES]:
        if name in reading.paths:
            place = reading.paths.index(name)
            lines.append(
                f"  {name}: norm {reading.norm[place]:.3g}, update "
                f"{reading.update[place]:.3g}, weights "
                f"{reading.weights[place]:.3g}"
            )
        elif name in reading.dead:
            lines.append(f"  {name}: dead units {reading.dead[name]:.3g}")
    return "\n".join(lines)


def announce_in_loop(
    owner: str,
    reading: Reading,
    names: Sequence[str],
    text: str,
    trouble: str,
    *,
    policy: str,
    has_function: bool,
    folder: Any = None,
) -> str:
    """Returns the warning about a step of a loop that is written by hand.

    Args:
        owner: The name of the object that records.
        reading: The `Reading` of the step.
        names: The paths of variables that are not finite, or whose gradients
            are not.
        text: What `explain` returned.
        trouble: What could not be found out, or `""`.
        policy: `on_nonfinite`.
        has_function: Whether the loop gave the function of its loss.
        folder: Where it was written, or `None`.
    """
    what = f"the loss is {reading.loss:g}"
    if names:
        what = f"gradients or weights of {_list(names)} are NaN or infinite"
    parts = [f"{owner}: in step {reading.step}, {what}."]
    if text:
        parts.append(text)
    if trouble:
        parts.append(f"Note that {trouble}")
    if not has_function:
        parts.append(
            "Pass `batch` and `function`, which returns the loss of a batch, "
            "to have the operation, the line and the samples found."
        )
    parts.append(_IN_LOOP[policy])
    if folder is not None:
        parts.append(
            "The batch and the state of the model are kept. To run the step "
            f"again: keras_perceptual.replay({str(folder)!r}, model, "
            "function=...) with the function of the loss."
        )
    elif has_function and not trouble:
        parts.append(
            "Pass `log_dir` to have the batch and the state of the model "
            "written to a folder."
        )
    parts.append(f"Received: step={reading.step}, loss={reading.loss:g}")
    return "\n".join(parts)


def name_signs(found: Mapping[str, Sequence[str]]) -> str:
    """Says what readings showed before a step broke, `""` of nothing."""
    by_name = {rule.name: rule for rule in RULES}
    parts = []
    for name, paths in found.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        parts.append(f"{paths[0]!r}{more} {by_name[name].title}")
    return f"Read before: {'; '.join(parts)}." if parts else ""


def describe_signs(
    owner: str,
    when: str,
    found: Mapping[str, Sequence[str]],
    folders: Mapping[str, Any] | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    """Returns the line at the end of an epoch.

    Args:
        owner: The name of the object that records.
        when: The epoch or the step, such as `"epoch 3"`.
        found: What `rules.find` returned, not empty.
        folders: Where a step that shows it was written, by rule.
        notes: Why it could not be, by rule.
    """
    folders, notes = folders or {}, notes or {}
    by_name = {rule.name: rule for rule in RULES}
    parts = []
    for name, paths in found.items():
        rule = by_name[name]
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        parts.append(f"{paths[0]!r}{more} {rule.title}. {rule.advice}")
        if name in folders:
            parts.append(
                "To run such a step again: "
                f"keras_perceptual.replay({str(folders[name])!r}, model)."
            )
        elif name in notes:
            parts.append(f"No step of that is kept: {notes[name]}.")
    counts = ", ".join(f"{name}={shorten(p)}" for name, p in found.items())
    return (
        f"{owner}, {when}: {' '.join(parts)} To leave a rule out, pass "
        f"the others as `rules`. Received: {counts}"
    )
