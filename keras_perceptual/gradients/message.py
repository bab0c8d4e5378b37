"""The words of the gradient check: its errors and its warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from keras_perceptual.gradients.paragraphs import (
    HEADINGS,
    Group,
    count_of,
    count_others,
    explain_group,
    group_records,
    mend_at,
    name_batches,
    point_out,
    shorten,
)

if TYPE_CHECKING:
    from keras_perceptual.gradients.places import Place
    from keras_perceptual.gradients.report import GradientRecord, GradientReport


def describe(
    owner: str,
    offenders: GradientReport,
    total: int,
    *,
    seen: Sequence[GradientRecord] = (),
    raised: bool = False,
) -> str:
    """Explains the offenders of a check.

    Args:
        owner: The name of the object that checked.
        offenders: A `GradientReport` with nothing but the offenders.
        total: How many trainable variables there are.
        seen: Records whose gradient was zero so far, which are not judged
            yet.
        raised: Whether the text is that of an error, not of a warning.
    """
    groups = group_records(offenders)
    parts = [
        f"{owner}: {_summarize(groups, total)}\n{point_out(groups[0])}",
        *(explain_group(group, total, offenders.batches) for group in groups),
    ]
    if seen:
        parts.append(_mention(seen))
    parts.append(f"{_opt_out(groups, raised)}The whole table is in `.report`.")
    return "\n\n".join([*parts, received(offenders)])


def explain(report: GradientReport) -> str:
    """Explains what a report found, with neither an error nor a warning.

    Args:
        report: A `GradientReport`.
    """
    bad = [r for r in report if r.status not in ("ok", "ignored")]
    tracked = [r for r in report if r.status != "untracked"]
    if not bad:
        return "Nothing was found that keeps a variable from learning."
    groups = group_records(bad)
    total = len(tracked)
    return "\n\n".join(
        [
            f"{_summarize(groups, total)}\n{point_out(groups[0])}",
            *(
                explain_group(
                    group,
                    total,
                    report.batches,
                    judged=False,
                    of_function=report.of_function,
                )
                for group in groups
            ),
        ]
    )


def describe_passing_zeros(
    owner: str, offenders: GradientReport, total: int
) -> str:
    """Mentions zeros that may well be there on purpose, in one line.

    Args:
        owner: The name of the object that checked.
        offenders: A `GradientReport` with nothing but the zeros.
        total: How many trainable variables there are.
    """
    found = count_of(len(offenders), total)
    heading = HEADINGS["zero"].format(
        found=found, batches=name_batches(offenders.batches)
    )
    text = [f"{owner}: {heading}."]
    groups = group_records(offenders)
    for group in groups:
        if group.diagnosis.general:
            text += [f"It ends at {place}." for place in group.culprits[:1]]
            continue
        where = group.culprits[0] if group.culprits else shorten(group.paths)
        text.append(f"{group.title}: {where}.")
        text += [group.note] if group.note else []
        text += [group.diagnosis.advice, *mend_at(group, group.culprits[:1])]
    if any(group.diagnosis.general for group in groups):
        text.append(
            "That is ordinary for a gate that is closed, a branch that starts "
            "at zero, or a last bias that drops out of a difference, as that "
            "of a critic. If it is not meant to be, look at what these "
            'layers receive, or pass `on_zero="raise"` for the whole story.'
        )
    text.append("If it is meant to be, leave them out with `ignore`.")
    paths = dict.fromkeys(record.path for record in offenders)
    # Groups may have their advice in common.
    text = dict.fromkeys([*text, f"Received: zero={shorten(paths)}"])
    return " ".join(text)


def describe_all_frozen(
    owner: str, model_name: str, *, raised: bool = False
) -> str:
    """Explains that a model has nothing to train.

    Args:
        owner: The name of the object that checked.
        model_name: The name of the model.
        raised: Whether the text is that of an error, not of a warning.
    """
    opt_out = ' If this is intended, pass `on_missing="warn"`.'
    return (
        f"{owner}: the model has no trainable variables, so `fit` cannot "
        "change anything. Usual causes: `trainable = False` was left on, or "
        "the layers are created inside `call` or kept where Keras does not "
        "track them. Set `model.trainable = True`, or create the layers in "
        f"`__init__`.{opt_out if raised else ''} "
        f"Received: model={model_name!r}, trainable_variables=[]"
    )


def describe_unmatched(
    owner: str, patterns: Iterable[str], paths: Sequence[str]
) -> str:
    """Explains that patterns to ignore match no variable."""
    return (
        f"{owner}: no trainable variable matches these patterns in `ignore`, "
        "which are compared with `variable.path`. The paths are "
        f"{shorten(paths)}. Received: ignore={list(patterns)}"
    )


def describe_stale(
    owner: str, added: Iterable[str] = (), removed: Iterable[str] = ()
) -> str:
    """Explains that other variables are trainable than were compiled.

    Args:
        owner: The name of the object that checked.
        added: Paths of variables that became trainable.
        removed: Paths of variables that were frozen.
    """
    changed = {"unfrozen": list(added), "frozen": list(removed)}
    changed = {what: paths for what, paths in changed.items() if paths}
    counts = ", ".join(f"{len(p)} {what}" for what, p in changed.items())
    named = ", ".join(f"{what}={shorten(p)}" for what, p in changed.items())
    return (
        f"{owner}: the set of trainable variables has changed since the model "
        f"was compiled ({counts}). The training step and the "
        "optimizer were made for the former set. Call `model.compile` again "
        "whenever `trainable` was changed or layers were added. "
        f"Received: {named}"
    )


def describe_uncalled(owner: str, found: Sequence[tuple[Any, Place]]) -> str:
    """Tells of layers that were never called, in one line.

    Args:
        owner: The name of the object that checked.
        found: Pairs of a layer, and of the `Place` that names it.
    """
    one = len(found) == 1
    layer, place = found[0]
    return (
        f"{owner}: {'a layer was' if one else f'{len(found)} layers were'} "
        "never called in the checked batches: without variables, "
        f"{'it learns' if one else 'they learn'} nothing. {layer.name!r} "
        f"({type(layer).__name__}): {place}. Call what was forgotten, or "
        "remove it. If this is intended, leave it out with `ignore`. "
        f"Received: uncalled={shorten(part.name for part, _ in found)}"
    )


def describe_trouble(owner: str, error: BaseException) -> str:
    """Explains that the check itself failed, and that training goes on.

    Args:
        owner: The name of the object that checked.
        error: The exception.
    """
    return (
        f"{owner}: the gradient check could not look into this training "
        "step, so nothing more is known about its gradients. Training "
        "continues unchanged. This is a fault of the check, not of the model: "
        "please report it with the program that shows it. "
        f"Received: {type(error).__name__}: {_in_one_line(error)}"
    )


def describe_late_nan(owner: str, epoch: int, last_seen: GradientReport) -> str:
    """Tells of NaN that came after the checked batches.

    Args:
        owner: The name of the object that checked.
        epoch: The number of the epoch.
        last_seen: The `GradientReport` of the checked batches.
    """
    norms = {r.path: r.norm for r in last_seen if r.norm is not None}
    text = (
        f"{owner}: the loss is NaN or infinite after epoch {epoch}. "
        f"In the checked batches ({last_seen.batches}) "
    )
    if norms:
        path = max(norms, key=norms.__getitem__)
        text += (
            "the gradients were finite, the largest with a norm of "
            f"{norms[path]:.3g} ({path!r}). "
        )
    else:
        text += "no gradient was seen. "
    return (
        f"{text}Usual causes: a learning rate that is too high, inputs or "
        "targets that are not scaled, NaN in a later batch. To learn which "
        "operation makes it first, check more batches with `steps=`. "
        f"Received: epoch={epoch}"
    )


def received(offenders: GradientReport) -> str:
    """Returns the end of a message: how many offenders of each status."""
    found: dict[str, list[str]] = {}
    for record in offenders:
        found.setdefault(record.status, []).append(record.path)
    return "Received: " + ", ".join(
        f"{status}={len(paths) if len(paths) > 1 else paths}"
        for status, paths in found.items()
    )


def _summarize(groups: Sequence[Group], total: int) -> str:
    """Says in one line how many variables are concerned."""
    lost = [g for g in groups if g.status != "untracked"]
    strangers = sum(len(g.records) for g in groups if g.status == "untracked")
    if not lost:
        return (
            f"{count_others(strangers)} computed with and not trained. Keras "
            "trains only the variables that the model tracks."
        )
    count = sum(len(group.records) for group in lost)
    sure = any(group.diagnosis.certain for group in lost)
    text = (
        f"{count} of {total} trainable variables "
        f"{'cannot' if sure else 'may not'} learn"
    )
    if strangers:
        text += f", and {count_others(strangers, 'other ')} not trained at all"
    return f"{text}. Each of them needs a finite gradient that is not zero."


def _mention(seen: Sequence[GradientRecord]) -> str:
    """Mentions what may be said next, so that nobody mends half."""
    paths = dict.fromkeys(record.path for record in seen)
    more = f"{len(seen)} more variable" + (
        "s have" if len(seen) > 1 else " has"
    )
    return (
        f"{more} received nothing but zeros so far: {shorten(paths)}. Zeros "
        "are judged after more batches, and may have another cause."
    )


def _opt_out(groups: Sequence[Group], raised: bool) -> str:
    """Says how to go on without the check, if that is what is wanted."""
    # Of what is ordinary it was said before.
    groups = [group for group in groups if not group.diagnosis.ordinary]
    kinds = {g.status.replace("untracked", "missing") for g in groups}
    policies = ", ".join(f'on_{kind}="warn"' for kind in sorted(kinds))
    # Nobody means to have NaN.
    meant = [group for group in groups if group.status != "nonfinite"]
    paths = shorten(path for group in meant for path in group.paths)
    if not meant:
        return f"To train all the same, pass `{policies}`. " * bool(
            raised and policies
        )
    other = f", or `{policies}` to train all the same" if raised else ""
    return f"If this is intended, pass `ignore={paths}`{other}. "


def _in_one_line(error: BaseException, longest: int = 300) -> str:
    """Returns the message of an error without its tail."""
    text = " ".join(str(error).split())
    return text if len(text) <= longest else f"{text[:longest]}..."
