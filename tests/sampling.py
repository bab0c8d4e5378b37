"""Which of many settings a test is always run with, and which with --all."""

import pytest


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
    return pytest.param(*values_of(setting), marks=pytest.mark.slow)


def values_of(setting):
    return setting if isinstance(setting, tuple) else (setting,)
