"""A gradient report for TensorBoard."""

from keras_perceptual.event_file import EventFile
from keras_perceptual.gradients import tables
from keras_perceptual.gradients.report import GradientReport
from keras_perceptual.typing import PathLike


def write_summaries(report: GradientReport, folder: PathLike) -> None:
    """Writes a report as TensorBoard reads it.

    The norms of the gradients and their ratios to the weights become scalars,
    by the path of the variable, and the table becomes a text.

    Args:
        report: A `GradientReport`.
        folder: The folder for the file.
    """
    file = EventFile(folder)
    for record in report:
        numbers = {"norm": record.norm, "ratio": record.ratio}
        for name, number in numbers.items():
            if number is not None:
                tag = f"gradient_{name}/{record.path}"
                file.add_scalar(tag, number, report.batches)
    table = tables.as_text(report, color=False)
    # Four spaces make a block of code of it.
    text = "\n".join(f"    {line}" for line in table.splitlines())
    file.add_text("gradient_report", text, report.batches)
    file.close()
