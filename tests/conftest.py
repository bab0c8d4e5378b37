"""Which tests are run, and in how many processes."""

import pytest
from sampling import QUICK_SETTINGS, items_of_a_sample


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    plugins = session.config.pluginmanager
    if not plugins.has_plugin("dsession"):
        plugins.import_plugin("isolation")


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
    import keras

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
