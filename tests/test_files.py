import os

import pytest

from keras_perceptual.files import check_file


def test_an_ordinary_file_passes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    check_file("read", path, 3)
    (tmp_path / "link").symlink_to(path)
    check_file("read", tmp_path / "link", 3)
    check_file("read", str(tmp_path), 0)  # What opens it says what it is.


def test_a_file_that_cannot_be_needed_is_refused(tmp_path):
    path = tmp_path / ("x" * 230)
    path.write_bytes(b"abcd")
    message = (
        r"^read reads files of up to 3 bytes.*"
        r"Received: weights='\.\.\.x{200}' of 4 bytes$"
    )
    with pytest.raises(ValueError, match=message):
        check_file("read", path, 3, argument="weights")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("linked", [False, True])
def test_what_has_no_end_is_refused(linked, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for place in (path, "/dev/zero"):
        if linked:
            link = tmp_path / f"link{len(str(place))}"
            link.symlink_to(place)
            place = link
        with pytest.raises(ValueError, match=r"not pipes or devices.*path='"):
            check_file("read", place, 3)


def test_where_nothing_is_that_is_said(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_file("read", tmp_path / "none", 3)


@pytest.mark.parametrize("path", ["/x" * 5000, "folder/" * 40 + "none"])
def test_of_a_long_path_the_end_is_shown(path):
    with pytest.raises(OSError, match=r"\.\.\..{200}'$") as raised:
        check_file("read", path, 3)
    assert len(str(raised.value)) < 300
