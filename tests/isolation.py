"""What each test starts from: Keras as it comes, and little of earlier tests.

Keras is imported here, and here first: `conftest.py` asks for it where tests
are run. The process that hands them out to others does without.
"""

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

# What backends and Keras consist of stays until the end: to look through all of
# it, each time garbage is collected, would take longer than many a file.
gc.collect()
gc.freeze()
# Traced graphs are many small objects that live long. While a test runs, only
# the youngest are looked through.
gc.set_threshold(20_000, 1_000, 1_000)
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
    # Collecting all garbage would take longer than most tests.
    keras.utils.clear_session(free_memory=False)
    if gc.get_count()[1] > 2:
        # Networks of this test, of tens of megabytes each, may be among it.
        gc.collect(1)


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
