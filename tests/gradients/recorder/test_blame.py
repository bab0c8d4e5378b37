"""The samples of a batch that break a step are found by halving it."""

import numpy as np
import pytest

from keras_perceptual.gradients.recorder.blame import batch_size, bisect


@pytest.mark.parametrize("bad", [[0], [6], [3, 4], [1, 5, 6], list(range(7))])
def test_numbers_are_found(bad):
    def breaks(first, last):
        assert last > first
        return any(first <= number < last for number in bad)

    assert bisect(breaks, 7, 100) == bad


def test_none_does_it_alone():
    assert bisect(lambda first, last: last - first >= 3, 8, 100) == []


def test_there_is_an_end_to_it():
    asked = []

    def breaks(first, last):
        asked.append((first, last))
        return True

    bisect(breaks, 1000, 9)
    assert len(asked) <= 10


def test_size_of_a_batch():
    x = np.zeros((4, 2))
    assert batch_size(({"a": x}, x, None)) == 4
    assert batch_size((x, np.zeros(3))) == 0
    assert batch_size((x, np.float32(1))) == 0
    assert batch_size(()) == 0
