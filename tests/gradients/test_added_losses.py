import numpy as np
from toy_steps import Step, frame

from keras_perceptual.gradients import diagnoses
from keras_perceptual.gradients.added_losses import find_left_out


def quantizing(tmp_path, *, adds):
    """A step with a loss of a codebook on a line of its own."""
    path = tmp_path / "net.py"
    line = "self.add_loss(x * book)" if adds else "self.note(x * book)"
    path.write_text(f"loss = f(x)\n{line}\n")
    step = Step()
    x = step.data("x", np.ones((2, 2)))
    w = step.variable("w", np.ones((2, 2)))
    book = step.variable("book", np.ones((2, 2)))
    first, second = ((frame(n, filename=str(path)),) for n in (1, 2))
    loss = step.do("MatMul", x, w, frames=first)
    step.do("Mul", x, book, frames=second)
    step.differentiate(loss, ["w", "book"])
    return step.replay()


def test_a_loss_that_is_added_and_left_out(tmp_path):
    replay = quantizing(tmp_path, adds=True)
    # Data, which nothing leads to, count for no variable.
    assert find_left_out(replay, ["w", "book"], {}).keys() == {"book"}
    found = find_left_out(replay, ["book", "w"], {})
    assert found.keys() == {"book"}
    cause = found["book"]
    assert cause.diagnosis is diagnoses.LOSS_LEFT_OUT
    # The loss that is differentiated, and the one that is not.
    assert [place.line for place in cause.places] == [1, 2]


def test_what_is_computed_besides_is_no_loss(tmp_path):
    replay = quantizing(tmp_path, adds=False)
    assert find_left_out(replay, ["book", "w"], {}) == {}
