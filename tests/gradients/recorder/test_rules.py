"""Each rule finds its sign, and nothing in a training that is well."""

import numpy as np
import pytest
from readings_by_hand import readings_of

from keras_perceptual.gradients.recorder import rules
from keras_perceptual.gradients.recorder.readings import Readings


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


@pytest.mark.parametrize("factor, found", [(200, True), (50, False)])
def test_leaping(factor, found):
    update = np.full((30, 3), 1e-3)
    update[-1, :2] *= factor
    expected = {"leaping": ["v0", "v1"]} if found else {}
    assert find(healthy(), update) == expected
    # Of one variable among three it says nothing.
    update[-1, 0] = 1e-3
    assert find(healthy(), update) == {}


@pytest.mark.parametrize("zeros, found", [(10, True), (9, False)])
def test_died(zeros, found):
    norm = healthy()
    norm[-zeros:, 2] = 0
    assert (find(norm) == {"died": ["v2"]}) is found


@pytest.mark.parametrize("steps, found", [(10, True), (9, False)])
def test_rewritten(steps, found):
    update = np.full((30, 3), 0.05)
    update[-steps:, :2] = 0.75
    assert (find(healthy(), update) == {"rewritten": ["v0", "v1"]}) is found
    # Of one bias among others it says nothing.
    update[:, 0] = 0.05
    assert find(healthy(), update) == {}


@pytest.mark.parametrize("reads, found", [(10, True), (9, False)])
def test_silent(reads, found):
    """A dead layer, and that nothing gets through it is not told again."""
    dead, norm = np.full(30, 0.5), healthy()
    dead[-reads:], norm[-reads:] = 1.0, 0.0
    expected = {"silent": ["hidden"]} if found else {}
    assert find(norm, None, None, dead) == expected
    # One that was dead from the first reading on may be meant to be.
    assert find(healthy(), None, None, np.ones(30)) == {}
    if found:
        died = [rule for rule in rules.RULES if rule.name == "died"]
        several = rules.find(readings_of(norm, dead=dead), died)
        assert several == {"died": ["v0", "v1", "v2"]}


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
