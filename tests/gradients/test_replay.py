import dataclasses

import pytest

from keras_perceptual.gradients.replay import (
    Moment,
    Numbers,
    Operation,
    Replay,
    is_due_to_none,
)


@pytest.mark.parametrize(
    ("numbers", "finite", "zero"),
    [
        (Numbers(1.0), True, False),
        (Numbers(0.0), True, True),
        # Of what was not read nothing is known.
        (Numbers(), True, False),
        (Numbers(0.0, nan=True), False, False),
        (Numbers(0.0, infinite=True), False, False),
    ],
)
def test_numbers(numbers, finite, zero):
    assert (numbers.finite, numbers.zero) == (finite, zero)


def test_operations_that_look_alike_are_two():
    """One of a loop runs once in each turn."""
    first, second = (Operation("Add", (1,), (2,)) for _ in range(2))
    assert first != second
    assert len({first, second}) == 2


def test_what_is_written_down_stays():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Operation("Add", (1,), (2,)).kind = "Mul"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Replay((), {}, ()).operations = ()


def test_moments_share_nothing():
    assert dataclasses.asdict(Moment()) == dict.fromkeys(
        ("batch", "values", "attributes", "state")
    )
    assert Replay((), {}, ()).values is not Replay((), {}, ()).values


def test_errors_that_speak_of_none():
    assert is_due_to_none(ValueError("None values not supported."))
    assert is_due_to_none(AttributeError("'NoneType' has no 'clip'"))
    assert not is_due_to_none(ValueError("shapes differ"))
    assert not is_due_to_none(RuntimeError("None"))
