"""Batches are kept on their way to steps that Python hands them to."""

import gc
import weakref

import keras
import pytest
from gradient_models import healthy_model

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.tracers.handed_batches import HandedBatches

BACKEND = keras.backend.backend()


def test_the_model_can_go():
    """The train function holds the tracer, and that holds these."""
    model = healthy_model()
    batches = HandedBatches(model, None)
    assert batches._model is model
    gone = weakref.ref(model)
    del model
    keras.utils.clear_session(free_memory=False)
    gc.collect()
    assert gone() is batches._model is None


@pytest.mark.skipif(BACKEND == "tensorflow", reason="a graph takes batches")
def test_batches_are_kept_from_the_start_to_the_end():
    model = healthy_model()
    steps = tracers.load("steps").Steps(model, None)

    def hear(*batches):
        """Returns the batches that a step is handed after they were heard."""
        given = iter(batches) if BACKEND == "jax" else list(batches)
        arguments = ("state", given) if BACKEND == "jax" else (given,)
        heard = steps.hear(arguments)
        assert heard[:-1] == arguments[:-1]
        return list(heard[-1])

    assert hear("unheard") == ["unheard"]
    assert steps.taken(()) == []
    steps.start()
    assert hear("first") == ["first"]
    assert hear("second") == ["second"]
    assert steps.taken(()) == [["first"], ["second"]]
    # Whoever took them starts anew.
    hear("between")
    assert steps.taken(()) == []
    steps.start()
    hear("third")
    steps.start()
    hear("fourth")
    assert steps.taken(()) == [["fourth"]]
    steps.start()
    hear("fifth")
    steps.stop()
    assert steps.taken(()) == []
    assert steps.specs() is None
