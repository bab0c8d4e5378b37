"""Set-up shared by all tests."""

import gc
import importlib.util
import os

# Threads of PyTorch wait for each other in a loop. Beside those of a second
# process, tests take up to three times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Where PyTorch and TensorFlow share a process, PyTorch goes first, and with it
# what is compiled against it: torchvision crashes in the other order.
if importlib.util.find_spec("torchvision"):
    import torchvision  # noqa: F401
elif os.environ.get("KERAS_BACKEND") == "torch":
    import torch  # noqa: F401

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from forgetting import forgetting, share_contexts
from sampling import QUICK_SETTINGS, items_of_a_sample

# What backends and Keras consist of stays until the end: to look through all of
# it, each time garbage is collected, would take longer than many a file.
gc.collect()
gc.freeze()
share_contexts()


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    make_iterator = tf.data.Dataset.__iter__

    def iterator_that_is_not_tuned(dataset):
        """An error in the middle of `fit` leaves an unfinished iterator.

        Whatever deletes it later, such as the garbage collector, waits for the
        thread that tunes it: up to several seconds. Nor does a pipeline of a
        few samples have to be optimized.
        """
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_optimization.apply_default_optimizations = False
        return make_iterator(dataset.with_options(options))

    tf.data.Dataset.__iter__ = iterator_that_is_not_tuned


@pytest.fixture(autouse=True)
def clean_keras():
    """Each test starts from the same seed and the default configuration."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    # Collecting garbage as well would take longer than most tests.
    keras.utils.clear_session(free_memory=False)


@pytest.fixture(autouse=True, scope="module")
def forget_compiled():
    """Gigabytes would be kept by the end of all files."""
    with forgetting():
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def damaged_files(request):
    """How many damaged files each reader of color tables is given."""
    return request.config.getoption("--damaged-files")


def pytest_addoption(parser):
    parser.addoption(
        "--all",
        action="store_true",
        dest="run_all",
        help="also run what is marked slow: examples, other processes, and "
        "all settings of a test where it is otherwise run with a few",
    )
    parser.addoption(
        "--damaged-files",
        type=int,
        default=3000,
        help="how many files with random damage each reader is given",
    )
    parser.addoption(
        "--settings",
        type=int,
        metavar="N",
        help="run each test with N of its settings at most, drawn by its "
        f"name (default: {QUICK_SETTINGS}, and all with --all)",
    )
    parser.addoption(
        "--draw",
        type=int,
        default=0,
        metavar="K",
        help="which of the settings: others are drawn for another number",
    )
    parser.addoption(
        "--all-cells",
        action="store_true",
        help="also train in ways that are not the backend's usual one",
    )


def pytest_xdist_auto_num_workers(config):
    """Two files at a time: a process takes two gigabytes, whatever the cores.

    One file is run in this process, where its output is seen as it comes.
    """
    paths = [argument.split("::")[0] for argument in config.args]
    return 0 if all(path.endswith(".py") for path in paths) else 2


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config, items):
    yield
    # After what -m selects.
    skip_what_is_left_out(config, items)
    most = config.getoption("--settings")
    if most is None:
        if config.getoption("run_all"):
            return
        most = QUICK_SETTINGS
    kept = items_of_a_sample(items, most, config.getoption("--draw"))
    config.hook.pytest_deselected(
        items=[item for item in items if item not in kept]
    )
    items[:] = [item for item in items if item in kept]


def skip_what_is_left_out(config, items):
    reasons = {}
    if not config.getoption("run_all"):
        reasons["slow"] = "takes long: is run with --all"
    if not config.getoption("--all-cells"):
        reasons["further_cell"] = "is run with --all-cells"
    if keras.backend.backend() != "tensorflow":
        reasons["tensorflow_only"] = "is about TensorFlow alone"
    for item in items:
        for keyword, reason in reasons.items():
            if keyword in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))
