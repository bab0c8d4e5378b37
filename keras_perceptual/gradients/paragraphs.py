"""Variables with the same diagnosis, and the paragraph about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.mends import UNKNOWN, find_mend
from keras_perceptual.gradients.places import Place
from keras_perceptual.gradients.risks import find_risk

if TYPE_CHECKING:
    from keras_perceptual.gradients.report import GradientRecord


# How many variables a message names before it only counts.
LONGEST_LIST = 12
# How many places it shows in the code.
MOST_PLACES = 3

HEADINGS = {
    "missing": "{found} no gradient",
    "zero": "{found} a gradient of exactly zero in {batches}",
    "nonfinite": "{found} a gradient with NaN or infinity",
}
WITHOUT_LINE = (
    "Look where the model is built: a Functional model runs its operations "
    "without a line of code."
)
OUTSIDE_TAPE = (
    "A tape of TensorFlow records what runs inside `with tf.GradientTape()`, "
    "and nothing else: if this runs before, move it inside."
)
SWAPPED = (
    "A loss of this package takes its first argument for the target, which "
    "gets no gradient. Predictions go second: `loss(y_true, y_pred)`."
)


@dataclasses.dataclass(frozen=True)
class Group:
    """Variables with the same diagnosis, at the same places.

    The same line of the class of several layers is one place; the first layer
    stands for all.
    """

    diagnosis: Diagnosis
    status: str
    culprits: tuple[Place, ...]
    note: str
    records: tuple[GradientRecord, ...]

    @property
    def title(self) -> str:
        """What the group has, as the beginning of a sentence."""
        if self.diagnosis is diagnoses.NONFINITE and self.culprits:
            return "Most likely made by"
        title = self.diagnosis.title
        return title[0].upper() + title[1:]

    @property
    def paths(self) -> list[str]:
        """The paths of the variables, each once."""
        return list(dict.fromkeys(record.path for record in self.records))


def group_records(records: Iterable[GradientRecord]) -> list[Group]:
    """Returns the `Group`s of records, the one that tells most first."""
    found: dict[tuple[Any, ...], list[GradientRecord]] = {}
    for record in records:
        lines = tuple(map(_line_of, record.culprits))
        key = (record.status, record.reason, lines, record.note)
        found.setdefault(key, []).append(record)
    groups = [
        Group(
            diagnoses.find(reason, status),
            status,
            members[0].culprits,
            note,
            tuple(members),
        )
        for (status, reason, _, note), members in found.items()
    ]
    return sorted(
        groups,
        key=lambda group: (
            not group.culprits,
            # It hangs on something else, which is to be mended first.
            group.diagnosis in (diagnoses.STUCK, diagnoses.CANCELS),
            group.diagnosis.general,
        ),
    )


def _line_of(place: Place) -> Place:
    """Returns a place without the layer, if it has a line."""
    if not place.file:
        return place
    return dataclasses.replace(
        place, layer="", keras_operation="", above="", below=""
    )


def point_out(group: Group) -> str:
    """Says where it begins: the cause, the place, the line of code."""
    if group.culprits:
        place = group.culprits[0]
        code = f"\n    {place.code}" if place.code else ""
        return f"{group.title}: {place}{code}"
    if group.note:
        return f"{group.title}: {group.note}"
    record, more = group.records[0], len(group.records) - 1
    text = f"{group.title}: {record.path!r}"
    if record.layer:
        text += f" of layer {record.layer!r} ({record.layer_class})"
    return f"{text}, and {more} more" if more else text


def explain_group(
    group: Group,
    total: int,
    batches: int,
    *,
    judged: bool = True,
    of_function: bool = False,
) -> str:
    """Says which variables, what it means, where it is and how to mend it.

    Args:
        group: The `Group`.
        total: How many trainable variables there are.
        batches: How many batches were looked at.
        judged: Whether it is said by a callback, which can be told to ignore
            variables.
        of_function: Whether a function was checked rather than a training
            step.
    """
    diagnosis = group.diagnosis
    advice = [group.note] if group.note else []
    if diagnosis.ordinary and judged:
        advice.append(
            "If they are not meant to learn, leave them out with "
            f"`ignore={shorten(group.paths)}`."
        )
    if of_function and diagnosis.in_function:
        advice.append(diagnosis.in_function)
    else:
        advice.append(diagnosis.advice)
        advice.append(diagnosis.on_backend.get(keras.backend.backend(), ""))
    if diagnosis is diagnoses.NONFINITE and group.culprits:
        advice.append("Operations on the way that can make such numbers:")
    advice += _describe_places(group)
    heading = _head(group, total, batches)
    return "\n".join(
        [
            f"{heading}:",
            f"{list_by_layer(group.records)}\n",
            *filter(None, advice),
        ]
    )


def list_by_layer(records: Sequence[GradientRecord]) -> str:
    """Lists variables under the layers they belong to, each layer once."""
    layers: dict[tuple[str, str], list[str]] = {}
    for record in records[:LONGEST_LIST]:
        key = (record.layer, record.layer_class)
        layers.setdefault(key, []).append(f"{record.path}  {record.shape}")
    lines = []
    for (layer, layer_class), variables in layers.items():
        if layer:
            lines.append(f"  layer {layer!r} ({layer_class})")
        indent = "    " if layer else "  "
        lines += [f"{indent}{variable}" for variable in variables]
    if len(records) > LONGEST_LIST:
        lines.append(f"  and {len(records) - LONGEST_LIST} more")
    return "\n".join(lines)


def shorten(paths: Iterable[str]) -> str:
    """Returns a list of names as text, without the tail of a long one."""
    paths = list(paths)
    if len(paths) <= LONGEST_LIST:
        return repr(paths)
    shown = ", ".join(map(repr, paths[:LONGEST_LIST]))
    return f"[{shown}, and {len(paths) - LONGEST_LIST} more]"


def count_of(count: int, total: int) -> str:
    """Returns the beginning of a sentence about variables of the model."""
    return f"{count} of {total} trainable variables " + (
        "receives" if count == 1 else "receive"
    )


def count_others(count: int, kind: str = "", besides: str = "") -> str:
    """Returns the beginning of a sentence about other variables."""
    if count == 1:
        return f"1 {kind}variable{besides} is"
    return f"{count} {kind}variables{besides} are"


def name_batches(batches: int) -> str:
    """Returns which batches were looked at."""
    if batches <= 1:
        return "the checked batch"
    return f"each of the {batches} checked batches"


def _head(group: Group, total: int, batches: int) -> str:
    """Returns what stands over the variables of a group."""
    count, title = len(group.records), group.diagnosis.title
    if group.status == "untracked":
        ours = f" besides the {total} trainable ones"
        others = count_others(count, besides=ours)
        return f"{others} computed with and not trained ({title})"
    heading = group.diagnosis.heading or HEADINGS[group.status]
    text = heading.format(
        found=count_of(count, total), batches=name_batches(batches)
    )
    if group.diagnosis.heading or group.diagnosis in (
        diagnoses.ZERO,
        diagnoses.NONFINITE,
    ):
        return text
    return f"{text} ({title})"


def _describe_places(group: Group) -> list[str]:
    """Says for each place what happens there and how to mend it."""
    lines, told = [], set()
    for place in group.culprits[:MOST_PLACES]:
        lines.append(f"  {place}")
        if place.code:
            within = f"in {place.within}: " if place.within else ""
            lines.append(f"    {within}{place.code}")
        if place.keras_operation and not place.file:
            lines.append(f"    {WITHOUT_LINE}")
        for mend in mend_at(group, (place,)):
            if mend not in told:
                told.add(mend)
                lines.append(f"    {mend}")
    if len(group.culprits) > MOST_PLACES:
        lines.append(f"  and {len(group.culprits) - MOST_PLACES} more")
    return lines


def mend_at(group: Group, places: Sequence[Place]) -> list[str]:
    """Returns what to do at each place, if the diagnosis depends on that."""
    if not group.diagnosis.mends:
        return []
    if group.status == "nonfinite":
        return [" ".join(find_risk(p.operation, p.function)) for p in places]
    return [_mend_at(place) for place in places]


def _mend_at(place: Place) -> str:
    """Returns what to do where an operation passes no gradient back."""
    if place.in_our_loss:
        return SWAPPED
    mend = find_mend(place.operation, place.function, place.layer_class)
    outside = mend is UNKNOWN and keras.backend.backend() == "tensorflow"
    return " ".join([*mend, OUTSIDE_TAPE] if outside else mend)
