import pytest

pytestmark = pytest.mark.tensorflow_only

CODE = """\
if (a and
        b):
    first()
elif c:
    second()
else:
    third()
after()
x = (fourth() if d
     else fifth())
"""


@pytest.mark.parametrize(
    "asked, ruled",
    [
        (2, {3, 4, 5, 6, 7}),
        (4, {5, 7}),
        (9, {9, 10}),
        (8, set()),
    ],
)
def test_lines_that_an_if_rules(tmp_path, asked, ruled):
    from keras_perceptual.gradients.tracers.tensorflow import python_branches

    path = tmp_path / "step.py"
    path.write_text(CODE)
    branches = python_branches.PythonBranches()
    branches.note(str(path), asked)
    found = {
        line for line in range(1, 11) if branches.chose([(str(path), line)])
    }
    assert found - {6} == ruled - {6}


def test_nothing_is_known_of_what_cannot_be_read(tmp_path):
    from keras_perceptual.gradients.tracers.tensorflow import python_branches

    path = tmp_path / "broken.py"
    path.write_text("if x:\n  (")
    branches = python_branches.PythonBranches()
    assert not branches.chose([(str(path), 2)])
    branches.note(str(path), 1)
    assert not branches.chose([(str(path), 2)])
