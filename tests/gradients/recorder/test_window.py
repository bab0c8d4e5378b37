"""Steps are kept and taken again, here of a training in Python."""

import pytest

from keras_perceptual.gradients.recorder.window import Window


class Steps:
    """A training of one number, to which each batch is added."""

    can_record = True

    def __init__(self):
        self.number, self.kept = 0, None

    def copy(self, arguments):
        return self.number

    def put(self, state, arguments):
        self.number = state
        return arguments

    def bytes_of(self, parts):
        return 10 * len(parts) if isinstance(parts, list) else 100

    def start(self):
        self.kept = []

    def stop(self):
        self.kept = None

    def hear(self, arguments):
        self.kept.append(list(arguments))
        return arguments

    def taken(self, arguments):
        found, self.kept = self.kept or [], None
        return found

    def take(self, function, arguments, batches):
        return function(*batches), arguments

    def step(self, batch):
        self.number += batch
        return self.number


def train(window, steps, batches):
    for batch in batches:
        if not window.is_open:
            window.open(())
        steps.step(*window.hear((batch,)))


def test_steps_are_taken_again():
    steps = Steps()
    steps.number = 5
    window = Window(steps, 1000)
    train(window, steps, [1, 2, 3])
    taken = list(window.retake(steps.step, ()))
    assert [t.before for t in taken] == [5, 6, 8]
    assert [t.outputs for t in taken] == [6, 8, 11]
    assert [t.number for t in taken] == [0, 1, 2]


def test_a_step_is_left_out():
    steps = Steps()
    window = Window(steps, 1000)
    train(window, steps, [1, 20, 3])
    retaking = window.retake(steps.step, ())
    next(retaking)
    second = next(retaking)
    assert retaking.send(second.before).outputs == 4


@pytest.mark.parametrize("most, room", [(10_000, 100), (250, 5), (210, 1)])
def test_room_for_as_many_steps_as_fit(most, room):
    """Beside two states; the first step shows how large a batch is."""
    steps = Steps()
    window = Window(steps, most)
    train(window, steps, [1])
    assert window.is_full
    window.open(())
    train(window, steps, [1] * (room - 1))
    assert not window.is_full
    train(window, steps, [1])
    assert window.is_full


def test_no_room():
    steps = Steps()
    window = Window(steps, 205)
    train(window, steps, [1])
    window.open(())
    assert not window.is_open and "max_bytes=205" in window.note
    assert steps.kept is None
    window.open(())
    assert not window.is_open


def test_a_step_that_was_not_taken():
    steps = Steps()
    window = Window(steps, 1000)
    train(window, steps, [1, 1])
    window.unhear()
    assert window.count == 1
