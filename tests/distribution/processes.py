"""Two processes on this machine that train together, each bounded in time."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import keras

FOLDER = pathlib.Path(__file__).parent
# Where the tests of the package find their helpers.
PATHS = (FOLDER.parent, FOLDER.parents[1])
HOST = "127.0.0.1"


def free_ports(count):
    """Returns ports of this machine that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def environments(count=2):
    """Returns what each process has to know of the others."""
    ports = free_ports(count + 1)
    cluster = {"worker": [f"{HOST}:{port}" for port in ports[:count]]}
    for index in range(count):
        yield dict(
            os.environ,
            PYTHONPATH=os.pathsep.join(map(str, PATHS)),
            KERAS_BACKEND=keras.backend.backend(),
            TF_CPP_MIN_LOG_LEVEL="3",
            CUDA_VISIBLE_DEVICES="-1",
            TF_CONFIG=json.dumps(
                {
                    "cluster": cluster,
                    "task": {"type": "worker", "index": index},
                }
            ),
            MASTER_ADDR=HOST,
            MASTER_PORT=str(ports[count]),
            RANK=str(index),
            WORLD_SIZE=str(count),
        )


@contextlib.contextmanager
def started(script, *arguments, count=2):
    """Starts processes and ends them in the end, whatever happens.

    Args:
        script: Name of a file beside this one.
        *arguments: What it is given.
        count: How many processes.

    Yields:
        The processes. Each has the file that it writes to as `output`.
    """
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    processes = []
    try:
        for environment in environments(count):
            # A pipe that nobody reads would hold up who writes much.
            output = tempfile.TemporaryFile("w+")
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
            process.output = output
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.output.close()


def text_of(process):
    """Returns what a process has written so far."""
    process.output.seek(0)
    return process.output.read()


def wait_for(processes, seconds):
    """Waits for all processes, and fails where one is not done in time."""
    end = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            texts = "\n".join(text_of(p)[-3000:] for p in processes)
            raise AssertionError(
                f"not done after {seconds} s:\n{texts}"
            ) from None


def run_together(script, *arguments, count=2, seconds=300):
    """Runs processes to their ends and returns what each of them printed."""
    with started(script, *arguments, count=count) as processes:
        wait_for(processes, seconds)
        texts = [text_of(process) for process in processes]
        for process, text in zip(processes, texts, strict=True):
            assert process.returncode == 0, text[-5000:]
    return texts
