"""Counts how often the reader of a loss has to change the file.

From `__call__` to the value, how often does a call lead into another file of
the package than the call before it? That is how often somebody turns a page who
follows `y_pred` to its value. The ways back, which a debugger shows as well,
are counted beside it.

    pip install -e .
    python tools/count_file_changes.py          # the numbers
    python tools/count_file_changes.py --files  # and the way
"""

import argparse
import itertools
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_perceptual as kp

PACKAGE = pathlib.Path(kp.__file__).parent

# The most changes that each may take.
LOSSES = {
    "PerceptualLoss": (kp.PerceptualLoss, 25),
    "LPIPS": (kp.LPIPS, 20),
    "SobelGradientLoss": (kp.SobelGradientLoss, 25),
}


def files_of(function, *arguments):
    """Returns the files of the package that are gone through, in order.

    Returns:
        Two lists: the files that are called into, and those with the ways
        back.
    """
    called, run = [], []

    def trace(frame, event, argument):
        path = pathlib.Path(frame.f_code.co_filename)
        if not path.is_relative_to(PACKAGE):
            return None
        name = path.relative_to(PACKAGE).as_posix()
        run.append(name)
        if event == "call":
            called.append(name)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return tuple(
        [name for name, _ in itertools.groupby(names)]
        for names in (called, run)
    )


def count_changes(loss):
    """Returns the files that a loss goes through at its second call.

    The first one does what is done once, such as looking at the sizes.
    """
    rng = np.random.default_rng(0)
    pair = rng.uniform(size=(2, 1, 64, 64, 3)).astype("float32")
    loss(*pair)
    return files_of(loss, *pair)


def main():
    """Prints the number of changes of each loss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", action="store_true")
    options = parser.parse_args()
    for name, (make, most) in LOSSES.items():
        called, run = count_changes(make())
        print(
            f"{name}: {len(called) - 1} changes of file, {most} at most; "
            f"{len(run) - 1} with the ways back"
        )
        if options.files:
            print("  " + "\n  ".join(run))


if __name__ == "__main__":
    main()
