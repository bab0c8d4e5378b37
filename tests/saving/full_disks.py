"""Disks that are full, for as long as a test wants them to be."""

import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest

# What can still be written when they are full, so that files break off.
ROOM = 4096
SIZE = 1024 * ROOM


class SmallDisk:
    """A disk in memory, which a large file fills."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self._filler = self.folder / "filler"

    @contextlib.contextmanager
    def full(self):
        with (
            contextlib.suppress(OSError),
            open(self._filler, "wb", buffering=0) as file,
        ):
            while file.write(bytes(ROOM)):
                pass
        os.truncate(self._filler, self._filler.stat().st_size - ROOM)
        try:
            yield
        finally:
            self._filler.unlink()


class LimitedFiles:
    """Files that cannot grow, where no disk can be mounted."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    @contextlib.contextmanager
    def full(self):
        import resource

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def small_disk(folder):
    """Mounts a disk in memory, or skips the test where that is forbidden."""
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)],
        capture_output=True,
    )
    if not mounted or mounted.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def limited_files(folder):
    """Has the system limit the size of files, or skips the test."""
    pytest.importorskip("resource")
    yield LimitedFiles(folder)


DISKS = {"small disk": small_disk, "limited files": limited_files}
