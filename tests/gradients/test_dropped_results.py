# ruff: noqa: F841, RUF059
"""Programs that compute something in a line and go on without it.

The line that leaves it out ends in `# without`; a program that has none uses
it, as far as can be seen.
"""

import inspect
import traceback

import pytest

from keras_perceptual.gradients.dropped_results import locate_dropping


class Reached(Exception):
    """Carries the frames of the last operation."""


def last(x):
    raise Reached


def other(x, *more):
    return x


def next_line(x):
    y = last(x)
    x = other(x)  # without
    return x


def returned_line(x):
    y = last(x)
    return other(x)  # without


def written_over(x):
    y = other(x)
    x = last(y)
    y = other(y)
    x = y  # without
    return x


def renamed(x, flag=True):
    y = last(x)
    if flag:
        z = y
    else:
        z = other(y)
    z = x  # without
    return z


def one_of_two(x):
    y, z = last(x), other(x)
    return other(y)  # without


def beside_its_like(x):
    y = last(x)
    z = other(x)
    x = x + z  # without
    return x


def before_what_prepares(x):
    y = last(x)
    z = x.rows()
    x = other(z, x)  # without
    return x


def logged(x, metric=None):
    y = last(x)
    metric.update_state(y)
    x = other(x)  # without
    return {"loss": x, "y": y}


def in_a_block(x):
    with x:
        y = last(x)
    return x  # without


def called(x):
    def inner(x):
        return last(x)

    y = inner(x)
    return x  # without


def called_for_two(x):
    def inner(x):
        y = last(x)
        return x, y

    x, y = inner(x)
    return other(x)  # without


def kept_in_a_list(x):
    found = []
    found.append(last(x))
    return other(found)


def read_later(x):
    y = last(x)
    found = []
    found.append(y)
    return found


def in_a_loop(x):
    y = x
    for _ in range(3):
        x = other(y)
        y = last(x)
    return x


def an_attribute(x):
    x.y = last(x)
    return x


@pytest.mark.parametrize(
    "program",
    [
        next_line,
        returned_line,
        written_over,
        renamed,
        one_of_two,
        beside_its_like,
        before_what_prepares,
        logged,
        in_a_block,
        called,
        called_for_two,
        kept_in_a_list,
        read_later,
        in_a_loop,
        an_attribute,
    ],
    ids=lambda program: program.__name__,
)
def test_where_a_result_is_left_out(program):
    frames = frames_of(program)
    lines, first = inspect.getsourcelines(program)
    marked = [
        number
        for number, line in enumerate(lines, first)
        if line.rstrip().endswith("# without")
    ]
    place = locate_dropping(frames)
    assert [place.line] * bool(place) == marked if place else not marked
    if place:
        assert place.code.endswith("# without")
        assert "is left out" in place.operation


class Anything:
    """Can be entered and added to, and has rows."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return False

    def __add__(self, other):
        return self

    def rows(self):
        return self


def frames_of(program):
    """Returns the frames of the call of `last`, those of a program alone."""
    with pytest.raises(Reached) as caught:
        program(Anything())
    frames = traceback.extract_tb(caught.value.__traceback__)
    return tuple(frames)[1:-1]


def test_what_cannot_be_read_is_nowhere(tmp_path):
    frame = traceback.FrameSummary(str(tmp_path / "no.py"), 3, "call")
    assert locate_dropping([frame]) is None
    assert locate_dropping([]) is None
