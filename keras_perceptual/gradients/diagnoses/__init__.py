"""Why a gradient is not as it should be: every cause that the check knows.

A cause is data, one row of the file of its status: what a report calls it, what
a message says about it, and how it is judged. A new cause costs a new row.
"""

from keras_perceptual.gradients.diagnoses import (
    missing,
    nonfinite,
    untracked,
    zeros,
)
from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.diagnoses.missing import *  # noqa: F403
from keras_perceptual.gradients.diagnoses.nonfinite import *  # noqa: F403
from keras_perceptual.gradients.diagnoses.untracked import *  # noqa: F403
from keras_perceptual.gradients.diagnoses.zeros import *  # noqa: F403

ALL = tuple(
    row
    for module in (missing, untracked, zeros, nonfinite)
    for row in vars(module).values()
    if type(row) is Diagnosis
)
_BY_TITLE = {row.title: row for row in ALL}
_GENERAL = {
    "missing": missing.NONE,
    "zero": zeros.ZERO,
    "nonfinite": nonfinite.NONFINITE,
    "untracked": untracked.UNTRACKED,
}


def find(title: str, status: str = "missing") -> Diagnosis:
    """Returns the `Diagnosis` of a title.

    Args:
        title: What `GradientRecord.reason` says.
        status: The status of the record, whose general row is returned where
            the title is empty or unknown.
    """
    return _BY_TITLE.get(title) or _GENERAL[status]
