import warnings

import pytest

from keras_perceptual.callbacks.picture_writer import PictureWriter


def names(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )


def writer(folder, *, png=True, tensorboard=False):
    return PictureWriter("Owner", str(folder), png=png, tensorboard=tensorboard)


def test_a_picture_is_one_whole_file(tmp_path):
    folder = tmp_path / "deep" / "logs"
    writer(folder).write_picture("a.png", "tag", b"content", (1, 1), 3)
    assert names(folder) == ["a.png"]
    assert (folder / "a.png").read_bytes() == b"content"
    writer(folder).write_logs("epoch", {"loss": 0.5}, 1)
    assert names(folder) == ["a.png"]


def test_events_alone(tmp_path):
    pytest.importorskip("tensorflow")
    events = writer(tmp_path, png=False, tensorboard=True)
    events.write_picture("a.png", "tag", b"content", (1, 1), 3)
    events.write_logs("epoch", {"loss": 0.5, "val_loss": 0.25}, 1)
    events.write_logs("epoch", None, 2)
    events.close()
    folders = [name.rpartition("/")[0] for name in names(tmp_path)]
    assert folders == ["images/train", "images/validation"]
    (train,) = (tmp_path / "images" / "train").iterdir()
    content = train.read_bytes()
    assert all(part in content for part in (b"tag", b"epoch_loss", b"content"))


def test_what_cannot_be_written_is_told_once_a_training(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    blocked = writer(tmp_path / "file")
    write = blocked.write_picture
    message = r"^Owner could not write a picture.*Received: log_dir="
    for _ in range(2):
        blocked.start()
        with pytest.warns(UserWarning, match=message):
            write("a.png", "tag", b"content", (1, 1), 1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            write("b.png", "tag", b"content", (1, 1), 2)


def test_each_problem_has_a_warning_of_its_own(tmp_path):
    told = writer(tmp_path)
    with pytest.warns(UserWarning, match="^Owner is short of ink. Received: 1"):
        told.warn("is short of ink.", 1)
    with pytest.warns(UserWarning, match=r"^Owner is tired\."):
        told.warn("is tired.", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told.warn("is short of ink.", 3)
