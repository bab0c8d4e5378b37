"""Each rule finds its sign, and nothing in a training that is well."""

import numpy as np
import pytest

from keras_perceptual.gradients.recorder import rules
from keras_perceptual.gradients.recorder.readings import Reading, Readings


def readings_of(norm, update=None, weights=None):
    """Returns readings: one row each, one column a variable."""
    norm = np.array(norm, float)
    update = np.full_like(norm, 1e-3) if update is None else np.array(update)
    weights = np.ones_like(norm) if weights is None else np.array(weights)
    readings = Readings(1000)
    for step, row in enumerate(norm):
        readings.add(
            Reading(
                step=step + 1,
                epoch=0,
                loss=1.0,
                paths=tuple(f"v{i}" for i in range(norm.shape[1])),
                norm=row,
                weights=weights[step],
                update=update[step],
                zeros=np.zeros_like(row),
                finite=np.isfinite(row),
            )
        )
    return readings


def healthy(steps=30):
    rng = np.random.default_rng(0)
    return np.exp(rng.normal(size=(steps, 3)))


def find(*arguments):
    return rules.find(readings_of(*arguments), rules.RULES)


def test_what_is_well_shows_no_sign():
    assert find(healthy()) == {}
    assert rules.find(Readings(5), rules.RULES) == {}
    # A learning rate that goes to zero at the end.
    assert find(healthy(), np.full((30, 3), 1e-9)) == {}
    # A branch that was closed all the time, and one that opens now and then.
    closed = healthy()
    closed[:, 0] = 0
    closed[::2, 1] = 0
    assert find(closed) == {}
    # What begins at zero.
    assert find(healthy(), 1 / np.arange(1, 31)[:, None] * np.ones(3)) == {}


@pytest.mark.parametrize("factor, found", [(2000, True), (200, False)])
def test_exploding(factor, found):
    norm = np.ones((30, 3))
    norm[-1, 1] = factor
    assert (find(norm) == {"exploding": ["v1"]}) is found


@pytest.mark.parametrize("zeros, found", [(10, True), (9, False)])
def test_died(zeros, found):
    norm = healthy()
    norm[-zeros:, 2] = 0
    assert (find(norm) == {"died": ["v2"]}) is found


@pytest.mark.parametrize("steps, found", [(10, True), (9, False)])
def test_rewritten(steps, found):
    update = np.full((30, 3), 1e-3)
    update[-steps:, :2] = 0.75
    assert (find(healthy(), update) == {"rewritten": ["v0", "v1"]}) is found
    # Of one bias among others it says nothing.
    update[:, 0] = 1e-3
    assert find(healthy(), update) == {}


def test_stalled():
    update = np.full((30, 3), 1e-3)
    update[:, 1] = 1e-8
    assert find(healthy(), update) == {"stalled": ["v1"]}
    # It has no gradient, which is another matter.
    norm = healthy()
    norm[:, 1] = 0
    assert find(norm, update) == {}


def test_each_rule_says_what_to_do_and_who_says_so():
    assert len({rule.name for rule in rules.RULES}) == len(rules.RULES)
    for rule in rules.RULES:
        assert rule.title and rule.advice.endswith(".") and rule.source
