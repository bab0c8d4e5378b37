"""Why a variable has no gradient, or not the one it should have."""

import dataclasses

from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis
from keras_perceptual.gradients.places import Place


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a gradient is not as it should be.

    Attributes:
        diagnosis: One of `diagnoses`.
        places: Where it happens, the most likely `Place` first.
        note: A sentence with the particulars, or `""`.
    """

    diagnosis: Diagnosis | None
    places: tuple[Place, ...] = ()
    note: str = ""


def title_of(diagnosis: Diagnosis | None) -> str:
    """Returns what a report gives as the reason, `""` for none.

    That gradients are zero or not finite says their status.
    """
    if diagnosis is None or (
        diagnosis.general and diagnosis.status in ("zero", "nonfinite")
    ):
        return ""
    return diagnosis.title
