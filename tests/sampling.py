"""Which of many settings a test is always run with, and which with --all.

One setting of each test is run in a hurry. CI draws another one for each
backend and for the oldest versions. What `rarely`, `sample` and `once` leave
out is run on the first backend alone: a sample tells whether another backend
computes the same.
"""

import zlib

import pytest

# Of each test, without --all.
QUICK_SETTINGS = 1


def sample(settings, every=3):
    """Returns settings for `parametrize`: some of them, the others as slow.

    Args:
        settings: List of settings. A tuple is one of several arguments; where
            a single argument is a tuple, it has to be in one: `(setting,)`.
        every: How many there are to one that is always run. The first is.
    """
    return [
        rarely(setting) if index % every else pytest.param(*values_of(setting))
        for index, setting in enumerate(settings)
    ]


def rarely(setting):
    """Returns a setting that costs more than it tells besides the others."""
    marks = (pytest.mark.slow, pytest.mark.once)
    return pytest.param(*values_of(setting), marks=marks)


def once(settings, but=1):
    """Returns settings of which other backends run the first ones alone.

    Args:
        settings: List of settings, as for `sample`.
        but: How many first ones, or less than zero, how many last ones not.
    """
    settings = list(settings)
    return [
        setting
        if index < but % len(settings)
        else pytest.param(*values_of(setting), marks=pytest.mark.once)
        for index, setting in enumerate(settings)
    ]


def values_of(setting):
    return setting if isinstance(setting, tuple) else (setting,)


def items_of_a_sample(items, most, draw=0):
    """Returns the tests that are run with some of their settings.

    Each process, and each run, draws the same ones. What is skipped is kept, to
    tell why.

    Args:
        items: List of tests as pytest collects them, one a setting.
        most: Most settings of each test. They are at equal distances.
        draw: Which of the settings, counted from those that the name draws.
    """
    settings, kept = {}, set()
    for item in items:
        if any(item.iter_markers("skip")):
            kept.add(item)
        else:
            settings.setdefault(item.nodeid.split("[")[0], []).append(item)
    for name, each in settings.items():
        first, taken = zlib.crc32(name.encode()) + draw, min(most, len(each))
        kept.update(
            each[(first + place * len(each) // taken) % len(each)]
            for place in range(taken)
        )
    return kept
