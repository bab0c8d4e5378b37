import contextlib
import sys

import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual.event_file import EventFile

IMAGES = np.zeros((1, 4, 4, 3), "float32")


def read_events(folder):
    """Returns tag, step, plugin and value of what TensorBoard would show."""
    tf = pytest.importorskip("tensorflow")

    (path,) = folder.iterdir()
    found = []
    for record in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            content = tf.make_ndarray(value.tensor).tolist()
            plugin = value.metadata.plugin_data.plugin_name
            found.append((value.tag, event.step, plugin, content))
    return found


def write_one_of_each(folder):
    file = EventFile(folder)
    file.add_scalar("loss", 0.25, 3)
    file.add_image("sheet", b"png", (4, 5), 2)
    file.add_text("words", "text", 1)
    file.flush()
    return file


def test_what_was_added_is_there_before_the_file_is_closed(tmp_path):
    with contextlib.closing(write_one_of_each(tmp_path / "a" / "b")):
        assert read_events(tmp_path / "a" / "b") == [
            ("loss", 3, "scalars", 0.25),
            ("sheet", 2, "images", [b"4", b"5", b"png"]),
            ("words", 1, "text", b"text"),
        ]


def test_a_histogram_counts_what_is_finite(tmp_path):
    file = EventFile(tmp_path)
    file.add_histogram("weights", np.array([[0, 1], [3, np.nan]]), 4)
    file.close()
    ((tag, step, plugin, rows),) = read_events(tmp_path)
    assert (tag, step, plugin) == ("weights", 4, "histograms")
    left, right, count = np.array(rows).T
    assert len(rows) == 30 and (left[0], right[-1]) == (0, 3)
    assert sum(count) == 3 and (count[0], count[10], count[-1]) == (1, 1, 1)


def test_each_file_has_a_name_of_its_own(tmp_path):
    for _ in range(2):
        write_one_of_each(tmp_path).close()
    assert len(list(tmp_path.iterdir())) == 2


def test_tensorboard_shows_pictures(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    write_one_of_each(tmp_path).close()
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    (picture,) = events.Tensors("sheet")
    assert list(picture.tensor_proto.string_val) == [b"4", b"5", b"png"]
    assert events.PluginTagToContent("images") == {"sheet": b""}


def test_tensorboard_writes_where_there_is_no_tensorflow(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tensorflow", None)
        write_one_of_each(tmp_path / "a" / "b").close()
    assert [row[0] for row in read_events(tmp_path / "a" / "b")] == [
        "loss",
        "sheet",
        "words",
    ]
    assert read_events(tmp_path / "a" / "b")[0] == ("loss", 3, "scalars", 0.25)


def test_what_is_to_be_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for make in (
        lambda: EventFile(tmp_path),
        # Before anything is trained.
        lambda: kp.GradientSanityCallback(log_dir=tmp_path),
        lambda: kp.ImageLogger(tmp_path, inputs=IMAGES),
    ):
        with pytest.raises(ImportError, match=r"install tensorboard`.*Rec"):
            make()
    kp.ImageLogger(tmp_path, inputs=IMAGES, tensorboard=False)
