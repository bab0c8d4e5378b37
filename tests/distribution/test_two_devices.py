"""Two devices of one machine find what one of them finds alone."""

import json

import keras
import numpy as np
import pytest
from distribution import checked, processes, training

BACKEND = keras.backend.backend()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BACKEND == "torch", reason="PyTorch has one device a process"
    ),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """In a process of its own, which has two devices."""
    folder = tmp_path_factory.mktemp("two_devices")
    processes.run_together("two_devices.py", folder, count=1)
    return folder


def test_training_is_the_same(results):
    """Losses, metrics and weights, with a short batch and with masks."""
    training.assert_equal_numbers(
        np.load(results / "two.npz"), np.load(results / "one.npz")
    )


def test_the_gradient_check_sees_all_devices(results):
    outcomes = json.loads((results / "outcomes.json").read_text())
    for case, (result, statuses, culprits) in outcomes.items():
        assert (result, statuses) == checked.EXPECTED[case], case
        cut = case == "cut"
        assert culprits == (["keras.ops.stop_gradient"] if cut else []), case


def test_a_recorded_training_is_the_same(results):
    """And a step that breaks on one device is told once."""
    found = json.loads((results / "recorded.json").read_text())
    assert found["same"] and found["healthy"] == []
    assert found["steps"] == [1, 2, 3]
    (text,) = found["broken"]
    assert "NaN or infinite" in text and "step 1" in text


@pytest.mark.tensorflow_only
def test_every_device_has_the_frozen_network_once(results):
    """Each reads its own copy: none is sent from device to device."""
    found = json.loads((results / "backbone.json").read_text())
    assert len(found["devices"]) == 10
    assert all(group == ["CPU:0", "CPU:1"] for group in found["devices"])


@pytest.mark.tensorflow_only
def test_what_is_saved_under_a_strategy_has_no_frozen_network(results):
    found = json.loads((results / "backbone.json").read_text())
    assert found["numbers"] > 2e6
    assert (results / "model.keras").stat().st_size < 5e4
    checkpoint = results / "checkpoint.data-00000-of-00001"
    assert checkpoint.stat().st_size < 5e4
    assert found["saved"]
