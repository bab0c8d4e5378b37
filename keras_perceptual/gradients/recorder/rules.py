"""When a training needs attention: rules as data."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from keras_perceptual.gradients.recorder.readings import Readings

# How many readings have to agree.
PERSISTENCE = 10


@dataclasses.dataclass(frozen=True)
class Rule:
    """One sign that something is wrong with a training.

    Attributes:
        name: The word by which it is switched.
        finds: Function of the `Readings` and the threshold that returns
            whether each variable, or layer, shows the sign.
        threshold: A number, without unit.
        title: What is the matter, after a name.
        advice: What people do about it.
        source: Where sign and threshold come from.
        of_layers: Whether it is layers that show the sign, not variables.
    """

    name: str
    finds: Callable[[Readings, float], np.ndarray]
    threshold: float
    title: str
    advice: str
    source: str
    of_layers: bool = False


def _exploding(readings: Readings, threshold: float) -> np.ndarray:
    """Whether the last norm stands out of those before."""
    return _stand_out(readings, "norm", readings.least, threshold)


def _leaping(readings: Readings, threshold: float) -> np.ndarray:
    """Whether the last step stands out of those before, of most variables."""
    last = readings[-1].change
    with np.errstate(all="ignore"):
        if np.mean(last > threshold * readings.least_change) <= 0.5:
            return np.zeros(len(last), bool)
    large = _stand_out(readings, "change", readings.least_change, threshold)
    return np.array(large & (np.mean(large) > 0.5), ndmin=1)


def _stand_out(
    readings: Readings, column: str, least: np.ndarray, threshold: float
) -> np.ndarray:
    """Returns which numbers of the last reading stand out of those before.

    Args:
        readings: The `Readings`.
        column: Which numbers.
        least: The smallest of each variable so far.
        threshold: How many times its median one has to be.
    """
    last = getattr(readings[-1], column)
    found = np.zeros(len(last), bool)
    if len(readings) <= PERSISTENCE:
        return found
    with np.errstate(all="ignore"):
        # What is no such multiple of the smallest is none of the median.
        places = np.flatnonzero(last > threshold * least)
    if not len(places):
        return found
    rows = [getattr(reading, column)[places] for reading in readings]
    former = np.array(rows[:-1])
    former = np.where(former > 0, former, np.nan)
    with np.errstate(all="ignore"):
        known = np.sum(np.isfinite(former), axis=0) >= PERSISTENCE
        filled = np.where(known, former, 1.0)
        limits = threshold * np.nanmedian(filled, axis=0)
        found[places] = known & (last[places] > limits)
    return found


def _died(readings: Readings, threshold: float) -> np.ndarray:
    """Whether the last norms are zero, and others before were not."""
    is_zero = (readings.column("norm", PERSISTENCE) <= threshold).all(axis=0)
    if len(readings) <= PERSISTENCE or not is_zero.any():
        return np.zeros(len(readings.paths), bool)
    was_alive = np.any(readings.column("norm")[:-PERSISTENCE] > 0, axis=0)
    return np.array(is_zero & was_alive, ndmin=1)


def _silent(readings: Readings, threshold: float) -> np.ndarray:
    """Whether all units are dead in the last readings, and were not before."""
    is_dead = (readings.column("dead", PERSISTENCE) >= threshold).all(axis=0)
    if len(readings) <= PERSISTENCE or not is_dead.any():
        return np.zeros(len(readings.layers), bool)
    former = readings.column("dead")[:-PERSISTENCE]
    return np.array(is_dead & np.any(former < threshold, axis=0), ndmin=1)


def _rewritten(readings: Readings, threshold: float) -> np.ndarray:
    """Whether each of the last updates is large, there and in most places."""
    ratios = readings.column("update", PERSISTENCE)
    if len(ratios) < PERSISTENCE:
        return np.zeros(ratios.shape[1], bool)
    # A bias that goes to and fro about zero is no sign of anything.
    large = (ratios > threshold).all(axis=0)
    return np.array(large & (np.mean(large) > 0.5), ndmin=1)


def _stalled(readings: Readings, threshold: float) -> np.ndarray:
    """Whether updates round to nothing, while other variables are learning."""
    ratios = readings.column("update", PERSISTENCE)
    none = np.zeros(ratios.shape[1], bool)
    if len(ratios) < PERSISTENCE or not ratios.size:
        return none
    with np.errstate(all="ignore"):
        largest = np.max(np.nan_to_num(ratios), axis=0)
    # Where all are small, the learning rate has been lowered on purpose.
    if np.median(largest) < 1000 * threshold:
        return none
    norms = readings.column("norm", PERSISTENCE)
    weighty = (readings.column("weights", PERSISTENCE) > 0).all(axis=0)
    return weighty & (largest < threshold) & (norms > 0).all(axis=0)


RULES = (
    Rule(
        name="exploding",
        finds=_exploding,
        threshold=1000.0,
        title="has a gradient 1000 times as large as its median before",
        advice=(
            "Clip the gradients (`clipnorm=1.0` of the optimizer), or lower "
            "the learning rate."
        ),
        source="Pascanu, Mikolov and Bengio, 2013, arXiv:1211.5063",
    ),
    Rule(
        name="leaping",
        finds=_leaping,
        threshold=100.0,
        title=(
            "is changed 100 times as much as in its median step before, as "
            "most are"
        ),
        advice=(
            "Look for a learning rate that was raised, by a schedule or by "
            "hand, and raise it in smaller steps."
        ),
        source="Goyal et al., 2017, arXiv:1706.02677, on gradual warm-up",
    ),
    Rule(
        name="died",
        finds=_died,
        threshold=0.0,
        title="had gradients, and has received zeros in the last readings",
        advice=(
            "A ReLU that outputs zero for all data passes nothing back: lower "
            "the learning rate, use `leaky_relu` or `gelu`, or normalize "
            "before it."
        ),
        source="Lu et al., 2019, arXiv:1903.06733",
    ),
    Rule(
        name="silent",
        finds=_silent,
        threshold=1.0,
        title=(
            "is dead: its ReLU has returned zeros alone in the last readings, "
            "for every sample, and did not before"
        ),
        advice=(
            "Lower the learning rate, use `leaky_relu` or `gelu`, or "
            "normalize before it; it does not come back by itself."
        ),
        source="Lu et al., 2019, arXiv:1903.06733",
        of_layers=True,
    ),
    Rule(
        name="rewritten",
        finds=_rewritten,
        threshold=0.5,
        title=(
            "is changed by more than half of its norm in each step, as most are"
        ),
        advice=(
            "About a thousandth is usual. Lower the learning rate, or warm it "
            "up."
        ),
        source="Stanford CS231n, notes on the ratio of updates to weights",
    ),
    Rule(
        name="stalled",
        finds=_stalled,
        threshold=1e-7,
        title="receives gradients, and is changed by less than float32 shows",
        advice=(
            "Raise its learning rate, or look at its scale: weights that are "
            "large beside their updates do not move."
        ),
        source="the spacing of float32, 1.2e-7 (IEEE 754)",
    ),
)


def find(readings: Readings, rules: Sequence[Rule]) -> dict[str, list[str]]:
    """Returns the paths of what shows each sign, by the name of the rule."""
    found: dict[str, list[str]] = {}
    if not readings.paths:
        return found
    for rule in rules:
        names = readings.layers if rule.of_layers else readings.paths
        shown = rule.finds(readings, rule.threshold)
        paths = [n for n, is_so in zip(names, shown, strict=True) if is_so]
        if paths:
            found[rule.name] = paths
    if "silent" in found:
        # That gradients are zero behind a dead layer is no other matter.
        found.pop("died", None)
    return found
