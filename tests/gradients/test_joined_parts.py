import numpy as np
import pytest
from toy_steps import Step

from keras_perceptual.gradients import zero_steps
from keras_perceptual.gradients.joined_parts import find_part


def part_of(step, *variables):
    """Returns what leaves parts of the first operation out."""
    known = zero_steps.Step(step.replay(), list(variables))
    (derivative,) = known.replay.derivatives
    return find_part(known, derivative, known.replay.operations[0])


@pytest.mark.parametrize("fixed", [True, False])
def test_a_part_that_the_program_takes(fixed):
    # As of the results of all turns of a loop, of which the last is taken.
    step = Step()
    v, w = step.variable("v", np.ones(3)), step.variable("w", np.ones(3))
    together = step.do("Pack", v, w)
    place = step.constant(1) if fixed else step.data("x", 1)
    part = step.do("GetItem", together, place)
    step.differentiate(step.do("Mean", part), ["v", "w"])
    _, getitem, _ = step.replay().operations
    assert part_of(step, "v") == (getitem if fixed else None)


@pytest.mark.parametrize("fixed", [True, False])
def test_a_part_of_a_sum(fixed):
    # As of the derivatives by two columns, of which one is asked for.
    step = Step()
    v, w = step.variable("v", np.ones(3)), step.variable("w", np.ones(3))
    zeros = step.constant(np.zeros(3))
    total = step.do(
        "AddV2", step.do("Pack", v, zeros), step.do("Pack", zeros, w)
    )
    place = step.constant(1) if fixed else step.data("x", 1)
    part = step.do("GetItem", total, place)
    step.differentiate(step.do("Mean", part), ["v", "w"])
    *_, getitem, _ = step.replay().operations
    assert part_of(step, "v") == (getitem if fixed else None)


def test_all_of_it_is_no_part():
    step = Step()
    v, w = step.variable("v", np.ones(3)), step.variable("w", np.ones(3))
    together = step.do("Pack", v, w)
    weighed = step.do("Mul", together, step.constant([[0.0], [1.0]]))
    step.differentiate(step.do("Mean", weighed), ["v", "w"])
    assert part_of(step, "v") is None


def test_another_part_that_is_cut_off():
    step = Step()
    v, w = step.variable("v", np.ones(3)), step.variable("w", np.ones(3))
    together = step.do("Pack", v, w)
    other = step.do("GetItem", together, step.constant(0))
    part = step.do("GetItem", together, step.constant(1))
    rounded = step.do("Round", other)
    step.differentiate(step.do("Mean", step.do("AddV2", part, rounded)), ["v"])
    cut = next(o for o in step.replay().operations if o.kind == "Round")
    assert part_of(step, "v") == cut
