"""Two processes find what one of them finds alone, and end together."""

import json
import time

import keras
import numpy as np
import pytest
from distribution import checked, processes, training

BACKEND = keras.backend.backend()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What both workers have found; none of them waits for ever."""
    folder = tmp_path_factory.mktemp("two_workers")
    processes.run_together("two_workers.py", folder)
    return folder


@pytest.mark.tensorflow_only
def test_training_is_the_same(results):
    """Losses, metrics and weights, with a short batch and with masks."""
    alone = training.run("masks")
    for rank in range(2):
        training.assert_equal_numbers(np.load(results / f"{rank}.npz"), alone)


@pytest.mark.tensorflow_only
def test_the_gradient_check_ends_all_workers_or_none(results):
    for rank in range(2):
        outcomes = json.loads((results / f"{rank}.json").read_text())
        for case, (result, statuses, culprits) in outcomes.items():
            assert (result, statuses) == checked.EXPECTED[case], case
            cut = case == "cut"
            assert culprits == (["keras.ops.stop_gradient"] if cut else []), (
                case
            )


@pytest.mark.tensorflow_only
def test_a_recorded_training_is_the_same(results):
    """And a step that breaks on one machine ends the training on both."""
    for rank in range(2):
        found = json.loads((results / f"{rank} recorded.json").read_text())
        assert found["same"] and found["healthy"] == []
        assert found["steps"] == [1, 2, 3]
        (text,) = found["broken"]
        assert "NaN or infinite" in text


@pytest.mark.tensorflow_only
def test_a_lost_worker_ends_the_other(tmp_path):
    """Nobody waits for a machine that is no more."""
    with processes.started("endless_worker.py", tmp_path) as workers:
        signs = [tmp_path / f"{rank}.training" for rank in range(2)]
        end = time.monotonic() + 300
        while not all(sign.exists() for sign in signs):
            assert time.monotonic() < end, "did not start"
            for worker in workers:
                assert worker.poll() is None, processes.text_of(worker)[-5000:]
            time.sleep(0.1)
        workers[1].kill()
        processes.wait_for(workers, 120)
        assert workers[0].returncode != 0
        assert "UnavailableError" in processes.text_of(workers[0])


@pytest.mark.skipif(BACKEND != "torch", reason="is about PyTorch alone")
def test_processes_of_pytorch(tmp_path):
    processes.run_together("two_torch_processes.py", tmp_path)
    alone = np.load(tmp_path / "alone.npz")
    for rank in range(2):
        training.assert_equal_numbers(np.load(tmp_path / f"{rank}.npz"), alone)
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found["cut"] == ["missing", "missing", "ok", "ok"]
        assert found["agreed"] is True
    # What one process alone would not have known.
    assert json.loads((tmp_path / "0.json").read_text())["own"] is False
