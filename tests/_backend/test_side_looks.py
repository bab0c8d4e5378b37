import types

import keras
import numpy as np
import pytest

from keras_perceptual import _backend

side_looks = _backend.load("side_looks")
BACKEND = keras.backend.backend()


def small_model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def test_one_process_is_the_chief():
    assert side_looks.is_chief(small_model())


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    "task, jobs, expected",
    [
        ((None, None), [], True),
        (("chief", 0), ["chief", "worker"], True),
        (("worker", 0), ["chief", "worker"], False),
        (("worker", 0), ["worker"], True),
        (("worker", 1), ["worker"], False),
    ],
)
def test_the_chief_of_several_workers(task, jobs, expected):
    resolver = types.SimpleNamespace(
        task_type=task[0],
        task_id=task[1],
        cluster_spec=lambda: types.SimpleNamespace(jobs=jobs),
    )
    model = types.SimpleNamespace(
        distribute_strategy=types.SimpleNamespace(cluster_resolver=resolver)
    )
    assert side_looks.is_chief(model) is expected


@pytest.mark.skipif(BACKEND == "tensorflow", reason="asks the strategy")
def test_a_later_process_is_not_the_chief(monkeypatch):
    if BACKEND == "jax":
        import jax

        monkeypatch.setattr(jax, "process_index", lambda: 1)
    else:
        import torch

        group = torch.distributed
        monkeypatch.setattr(group, "is_initialized", lambda: True)
        monkeypatch.setattr(group, "get_rank", lambda: 1)
    assert not side_looks.is_chief(small_model())


@pytest.mark.skipif(BACKEND != "torch", reason="modes are PyTorch's")
def test_modes_and_random_numbers_are_put_back():
    import torch

    model = small_model()
    model.train()
    model.layers[0].eval()
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), side_looks.looking(model):
        assert not model.training
        torch.rand(3)
        raise RuntimeError
    assert model.training and not model.layers[0].training
    np.testing.assert_array_equal(torch.get_rng_state(), before)
