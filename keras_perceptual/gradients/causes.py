"""Why a variable has no gradient, or not the one it should have."""

import dataclasses

from keras_perceptual.gradients.diagnoses import Diagnosis
from keras_perceptual.gradients.places import Place


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a gradient is not as it should be.

    Attributes:
        diagnosis: One of `diagnoses`.
        places: Where it happens, the most likely `Place` first.
        note: A sentence with the particulars, or `""`.
    """

    diagnosis: Diagnosis
    places: tuple[Place, ...] = ()
    note: str = ""
