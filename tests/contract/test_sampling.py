import itertools

import pytest
from sampling import items_of_a_sample


class Item:
    """What is used of a test as pytest collects it."""

    def __init__(self, nodeid, *marks):
        self.nodeid = nodeid
        self.marks = marks

    def iter_markers(self, name):
        return (mark for mark in self.marks if mark == name)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 20])
def test_each_test_keeps_settings_at_equal_distances(most):
    settings = [Item(f"test_many[{index}]") for index in range(7)]
    alone = Item("test_alone")
    kept = items_of_a_sample([*settings, alone], most)
    assert alone in kept
    places = [index for index, each in enumerate(settings) if each in kept]
    assert len(places) == min(most, 7)
    gaps = [b - a for a, b in itertools.pairwise([*places, places[0] + 7])]
    assert max(gaps) - min(gaps) <= 1


def test_what_is_skipped_takes_no_place():
    settings = [Item("test_it[0]", "skip"), Item("test_it[1]")]
    assert items_of_a_sample(settings, 1) == set(settings)


@pytest.mark.parametrize("most", [1, 2])
def test_other_settings_are_drawn_for_another_number(most):
    settings = [Item(f"test_many[{index}]") for index in range(4)]
    draws = [items_of_a_sample(settings, most, draw) for draw in range(4)]
    assert set.union(*draws) == set(settings)
    assert draws[0].isdisjoint(draws[1])
    assert draws[0] == items_of_a_sample(settings, most, 4)
