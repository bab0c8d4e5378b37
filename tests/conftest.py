"""Set-up shared by all tests."""

import importlib.util
import os

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
    """JAX keeps what it compiles: gigabytes, by the end of all files."""
    yield
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def damaged_files(request):
    """How many damaged files each reader of colour tables is given."""
    return request.config.getoption("--damaged-files")


def pytest_addoption(parser):
    parser.addoption(
        "--damaged-files",
        type=int,
        default=3000,
        help="how many files with random damage each reader is given",
    )
    parser.addoption(
        "--all-cells",
        action="store_true",
        help="also train in ways that are not the backend's usual one",
    )


def pytest_collection_modifyitems(config, items):
    reasons = {}
    if not config.getoption("--all-cells"):
        reasons["further_cell"] = "is run with --all-cells"
    if keras.backend.backend() != "tensorflow":
        reasons["tensorflow_only"] = "is about TensorFlow alone"
    for item in items:
        for keyword, reason in reasons.items():
            if keyword in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))
