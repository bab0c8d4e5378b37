"""A gradient report for TensorBoard."""

import os

from keras_perceptual.gradients import tables

# Their numbers in the protocol of TensorBoard.
SCALAR, TENSOR = 1, 2


def write_summaries(report, folder):
    """Writes a report as TensorBoard reads it.

    The norms of the gradients and their ratios to the weights become scalars,
    by the path of the variable, and the table becomes a text.

    Args:
        report: A `GradientReport`.
        folder: The folder for the file.
    """
    # The writer of the callback that Keras has, too. What is around it,
    # `tf.summary.scalar`, needs TensorBoard to be installed.
    import tensorflow as tf

    def metadata(plugin, kind):
        data = tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin)
        return tf.compat.v1.SummaryMetadata(plugin_data=data, data_class=kind)

    writer = tf.summary.create_file_writer(os.fspath(folder))
    with writer.as_default(step=report.batches):
        for record in report:
            numbers = {"norm": record.norm, "ratio": record.ratio}
            for name, number in numbers.items():
                if number is not None:
                    tf.summary.write(
                        f"gradient_{name}/{record.path}",
                        tf.constant(number, "float32"),
                        metadata=metadata("scalars", SCALAR),
                    )
        table = tables.as_text(report, color=False)
        # Four spaces make a block of code of it.
        text = "\n".join(f"    {line}" for line in table.splitlines())
        tf.summary.write(
            "gradient_report", text, metadata=metadata("text", TENSOR)
        )
    writer.close()
