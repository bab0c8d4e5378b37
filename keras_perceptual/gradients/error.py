"""The error that a failed gradient check raises."""

from keras_perceptual.gradients.report import GradientReport


class GradientSanityError(ValueError):
    """Says that variables of a model cannot learn, and which.

    Args:
        message: The explanation.
        report: The `GradientReport` of the check.

    Example:

    >>> from keras_perceptual.gradients import (
    ...     GradientReport, GradientSanityError
    ... )
    >>> try:
    ...     raise GradientSanityError("nothing learns", GradientReport())
    ... except ValueError as error:
    ...     print(error.report)
    Gradients after 0 batches: no variables
    variable  shape  layer  status  norm  ratio
    """

    def __init__(
        self, message: str, report: GradientReport | None = None
    ) -> None:
        super().__init__(message)
        self.report = report
