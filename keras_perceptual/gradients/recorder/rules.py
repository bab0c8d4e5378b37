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
            whether each variable shows the sign.
        threshold: A number, without unit.
        title: What is the matter, after the names of variables.
        advice: What people do about it.
        source: Where sign and threshold come from.
    """

    name: str
    finds: Callable[[Readings, float], np.ndarray]
    threshold: float
    title: str
    advice: str
    source: str


def _exploding(readings: Readings, threshold: float) -> np.ndarray:
    """Whether the last norm stands out of those before."""
    norms = readings.column("norm")
    if len(norms) <= PERSISTENCE:
        return np.zeros(norms.shape[1], bool)
    former = np.where(norms[:-1] > 0, norms[:-1], np.nan)
    with np.errstate(all="ignore"):
        known = np.sum(np.isfinite(former), axis=0) >= PERSISTENCE
        filled = np.where(known, former, 1.0)
        limits = threshold * np.nanmedian(filled, axis=0)
        return np.array(known & (norms[-1] > limits), ndmin=1)


def _died(readings: Readings, threshold: float) -> np.ndarray:
    """Whether the last norms are zero, and others before were not."""
    norms = readings.column("norm")
    if len(norms) <= PERSISTENCE:
        return np.zeros(norms.shape[1], bool)
    is_zero = norms[-PERSISTENCE:] <= threshold
    was_alive = np.any(norms[:-PERSISTENCE] > 0, axis=0)
    return np.array(is_zero.all(axis=0) & was_alive, ndmin=1)


def _rewritten(readings: Readings, threshold: float) -> np.ndarray:
    """Whether each of the last updates is large, there and in most places."""
    ratios = readings.column("update")[-PERSISTENCE:]
    if len(ratios) < PERSISTENCE:
        return np.zeros(ratios.shape[1], bool)
    # A bias that goes to and fro about zero is no sign of anything.
    large = (ratios > threshold).all(axis=0)
    return np.array(large & (np.mean(large) > 0.5), ndmin=1)


def _stalled(readings: Readings, threshold: float) -> np.ndarray:
    """Whether updates round to nothing, while other variables are learning."""
    ratios = readings.column("update")[-PERSISTENCE:]
    none = np.zeros(ratios.shape[1], bool)
    if len(ratios) < PERSISTENCE or not ratios.size:
        return none
    with np.errstate(all="ignore"):
        largest = np.max(np.nan_to_num(ratios), axis=0)
    # Where all are small, the learning rate has been lowered on purpose.
    if np.median(largest) < 1000 * threshold:
        return none
    norms = readings.column("norm")[-PERSISTENCE:]
    weighty = (readings.column("weights")[-PERSISTENCE:] > 0).all(axis=0)
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
    """Returns the paths of the variables that show each sign, by rule."""
    found: dict[str, list[str]] = {}
    if not readings.paths:
        return found
    for rule in rules:
        shown = rule.finds(readings, rule.threshold)
        paths = [
            p for p, is_so in zip(readings.paths, shown, strict=True) if is_so
        ]
        if paths:
            found[rule.name] = paths
    return found
