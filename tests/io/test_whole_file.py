import os
import stat
import sys
import threading

import pytest

from keras_perceptual.io.whole_file import replace_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "look.cube"


def write(path, *parts):
    replace_file("write_cube", path, parts)


def test_a_file_is_replaced_as_a_whole(path):
    path.write_bytes(b"x" * 1000)
    write(str(path), b"ab", b"c")
    assert path.read_bytes() == b"abc"
    write(os.fsencode(path))
    assert path.read_bytes() == b""
    assert os.listdir(path.parent) == ["look.cube"]


@pytest.mark.parametrize("error", [OSError("No space left"), KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failure_leaves_the_old_file(error, old, path):
    if old is not None:
        path.write_bytes(old)
    unfinished = []

    def parts():
        yield b"new"
        unfinished.extend(set(os.listdir(path.parent)) - {"look.cube"})
        raise error

    with pytest.raises((OSError, KeyboardInterrupt)):
        replace_file("write_cube", path, parts())
    assert len(unfinished) == 1
    assert unfinished[0].startswith(".")
    assert unfinished[0].endswith(".cube.part")
    assert os.listdir(path.parent) == ([] if old is None else ["look.cube"])
    assert old is None or path.read_bytes() == old


def test_nobody_sees_half_a_file(path):
    contents = [letter * 100_000 for letter in (b"a", b"b")]
    write(path, contents[0])
    found, done = set(), threading.Event()

    def look():
        while not done.is_set():
            found.add(path.read_bytes())

    looking = threading.Thread(target=look)
    looking.start()
    for content in contents * 20:
        write(path, content[:10], content[10:])
    done.set()
    looking.join()
    assert found
    assert found <= set(contents)


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and modes")
def test_links_and_permissions_are_as_for_other_files(tmp_path):
    plain, look = tmp_path / "plain", tmp_path / "folder" / "look.cube"
    look.parent.mkdir()
    plain.write_bytes(b"")
    (tmp_path / "link.cube").symlink_to(look)
    write(tmp_path / "link.cube", b"a")
    assert (tmp_path / "link.cube").is_symlink()
    assert look.is_file()
    assert look.stat().st_mode == plain.stat().st_mode


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and modes")
def test_what_is_replaced_keeps_its_permissions(path):
    path.write_bytes(b"")
    path.chmod(0o640)
    write(path, b"a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and modes")
def test_other_names_of_a_file_keep_the_old_table(path):
    """A new file takes its place, so that nobody sees half of it."""
    other = path.with_name("other.cube")
    write(path, b"old")
    other.hardlink_to(path)
    message = r"^write_cube put.*keep the old .*look.cube' with 2 names$"
    with pytest.warns(UserWarning, match=message) as caught:
        write(path, b"new")
    # The writer of a format stands between, here `write`.
    assert caught[0].filename == __file__
    assert path.read_bytes() == b"new"
    assert other.read_bytes() == b"old"


def test_a_place_that_cannot_be_written_to_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "no_such" / "look.cube", b"a")
    with pytest.raises(ValueError, match=r"^write_cube writes ordinary files"):
        write(tmp_path, b"a")
    assert os.listdir(tmp_path) == []


def test_of_a_long_path_the_end_is_shown(tmp_path):
    folder = tmp_path.joinpath(*(["folder"] * 40))
    folder.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"path='\.\.\..{200}'$"):
        replace_file("write", folder, [])
