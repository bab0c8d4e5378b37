"""The signs that a training has shown, each told once."""

from collections.abc import Sequence

from keras_perceptual.gradients.recorder import rules
from keras_perceptual.gradients.recorder.readings import Readings

Found = dict[str, list[str]]


class Signs:
    """Looks for signs after each reading, and remembers which were new.

    Args:
        chosen: The names of the rules to go by.
        readings: The `Readings`.
    """

    def __init__(self, chosen: Sequence[str], readings: Readings) -> None:
        self._rules = [rule for rule in rules.RULES if rule.name in chosen]
        self._readings = readings
        self._known: set[tuple[str, str]] = set()
        self._new: Found = {}

    def look(self) -> Found:
        """Returns what the last reading shows that none before it did."""
        new: Found = {}
        for name, shown in rules.find(self._readings, self._rules).items():
            fresh = [s for s in shown if (name, s) not in self._known]
            if fresh:
                self._known.update((name, subject) for subject in fresh)
                new[name] = fresh
                self._new.setdefault(name, []).extend(fresh)
        return new

    def take(self) -> Found:
        """Returns what is new since the last time it was asked for."""
        new, self._new = self._new, {}
        return new
