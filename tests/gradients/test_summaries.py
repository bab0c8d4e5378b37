import pytest

from keras_perceptual.gradients import (
    GradientRecord,
    GradientReport,
    summaries,
)
from keras_perceptual.gradients.summaries import write_summaries

REPORT = GradientReport(
    (
        GradientRecord("a/kernel", "ok", 0.25, (4, 8), ratio=0.125),
        GradientRecord("b/kernel", "missing", None, (8,)),
    ),
    batches=2,
)


def read_events(folder):
    """Returns tag, step, plugin and value of what TensorBoard would show."""
    import tensorflow as tf

    (path,) = folder.iterdir()
    found = []
    for record in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            content = tf.make_ndarray(value.tensor).tolist()
            plugin = value.metadata.plugin_data.plugin_name
            found.append((value.tag, event.step, plugin, content))
    return found


def test_the_file_is_whole_once_it_is_written(tmp_path, monkeypatch):
    closed = []

    class Watched(summaries.EventFile):
        def close(self):
            super().close()
            closed.append(self)

    monkeypatch.setattr(summaries, "EventFile", Watched)
    write_summaries(REPORT, tmp_path)
    assert len(closed) == 1


def test_norms_ratios_and_the_table(tmp_path):
    write_summaries(REPORT, tmp_path)
    *scalars, (tag, _, plugin, text) = read_events(tmp_path)
    assert scalars == [
        ("gradient_norm/a/kernel", 2, "scalars", 0.25),
        ("gradient_ratio/a/kernel", 2, "scalars", 0.125),
    ]
    assert (tag, plugin) == ("gradient_report", "text")
    assert "    b/kernel" in text.decode()


def test_tensorboard_reads_them(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    write_summaries(REPORT, tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert "gradient_norm/a/kernel" in events.Tags()["tensors"]
