"""The verdict on real training programs, where the collection is at hand.

The collection is a module `cases.py`, which lists programs by name together
with what is wrong with them.
"""

import importlib.util
import pathlib
import warnings

import pytest

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients import GradientSanityError

PROJECT = pathlib.Path(__file__).parents[2]
COLLECTION = PROJECT.parent / "shared" / "gradient_cases" / "cases.py"

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow_only]


def load_programs():
    if not COLLECTION.is_file():
        return {}
    spec = importlib.util.spec_from_file_location("cases", COLLECTION)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CASES


PROGRAMS = load_programs()
needs_programs = pytest.mark.skipif(
    not PROGRAMS, reason="the collection of programs is not at hand"
)


def run(name):
    """Returns the error that the callback raised, if any, and the rest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = PROGRAMS[name].build()
        callback = GradientSanityCallback()
        error = None
        try:
            program["model"].fit(**program["fit_kwargs"], callbacks=[callback])
        except Exception as raised:
            error = raised
    return error, callback.report, program["expect"]


@needs_programs
@pytest.mark.parametrize("name", PROGRAMS)
def test_verdict(name):
    error, report, expected = run(name)
    if expected["verdict"] == "healthy":
        assert error is None
        return
    assert isinstance(error, GradientSanityError)
    assert error.report is report
    if expected["none"]:
        missing = [record.path for record in report.missing]
        assert sorted(missing) == sorted(expected["none"])
        for path in expected["none"]:
            assert path in str(error)
