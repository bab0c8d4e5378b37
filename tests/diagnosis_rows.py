"""The rows of a file of diagnoses, by what is decided row by row."""

from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis


def rows_of(module):
    return [row for row in vars(module).values() if type(row) is Diagnosis]


def names_with(module, flag):
    """Returns the names of the rows that have a flag, in their order.

    Args:
        module: A module of rows.
        flag: The name of a flag of `Diagnosis`, or `"uncertain"`.
    """
    return " ".join(
        name
        for name, row in vars(module).items()
        if type(row) is Diagnosis
        and (not row.certain if flag == "uncertain" else getattr(row, flag))
    )
