"""Whatever goes wrong in looking at a step, the training does not notice.

The weights are those of a training without the check. The verdict is as it is
otherwise, or one warning says that there is none.
"""

import importlib
import warnings

import keras
import numpy as np
import pytest
from gradient_models import Detach, nan_loss, regression_data
from keras import layers
from sampling import rarely, sample

from keras_perceptual.callbacks import GradientSanityCallback
from keras_perceptual.gradients import GradientSanityError, tracers

BACKEND = keras.backend.backend()


def network(middle=None, loss="mse", **arguments):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, name="hidden"),
            layers.Dropout(0.5),
            *([] if middle is None else [middle()]),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile("sgd", loss, **arguments)
    return model


def train(model, *callbacks):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(
            *regression_data(24),
            batch_size=8,
            verbose=0,
            callbacks=list(callbacks),
        )
    texts = [str(w.message) for w in caught]
    return model.get_weights(), [t for t in texts if t.startswith("Gradient")]


MODELS = {
    "well": {},
    "cut": {"middle": Detach},
    "nan": {"loss": nan_loss},
}
POLICY = {"on_missing": "warn", "on_zero": "warn", "on_nonfinite": "warn"}


@pytest.fixture(scope="module")
def expected():
    """The weights without a check, and the verdict of one that works."""
    found = {}
    for name, arguments in MODELS.items():
        weights, _ = train(network(**arguments))
        callback = GradientSanityCallback(**POLICY)
        _, texts = train(network(**arguments), callback)
        assert len(texts) == (name != "well")
        found[name] = weights, statuses(callback.report)
    return found


def statuses(report):
    return {record.path: record.status for record in report}


def find(place):
    """Returns a module of the check, or a class in one."""
    topic, _, name = place.partition(".")
    if topic in ("tracer", "replay", "shadow", "programs"):
        module = tracers.load(topic)
    else:
        module = importlib.import_module(f"keras_perceptual.gradients.{topic}")
    return getattr(module, name) if name else module


def fail(*args, **kwargs):
    raise ArithmeticError("out of order")


def check(expected, kind, place, name, monkeypatch, **arguments):
    weights, verdict = expected[kind]
    monkeypatch.setattr(find(place), name, fail)
    callback = GradientSanityCallback(**POLICY)
    found, texts = train(network(**MODELS[kind], **arguments), callback)
    for one, other in zip(found, weights, strict=True):
        np.testing.assert_array_equal(one, other)
    troubles = [t for t in texts if "could not look into" in t]
    assert len(troubles) <= 1
    assert all("ArithmeticError: out of order" in text for text in troubles)
    if callback.report is not None and not troubles:
        assert statuses(callback.report) == verdict
    if kind == "well":
        assert texts == troubles
    return troubles


NOTING = [
    ("tracer.Tracer", "add"),
    ("tracer.Tracer", "read"),
    ("tracer.Tracer", "look_again"),
    ("tracer.Tracer", "find_untracked"),
    ("programs" if BACKEND == "jax" else "tracer", "statistics_rows"),
    ("snapshots", "copy_values"),
    ("snapshots", "copy_attributes"),
    ("snapshots", "variables_of_step"),
    ("fit_check", "Seam"),
    ("evidence.Evidence", "gather"),
    ("judging", "judge_variable"),
    ("judging", "decide"),
    ("uncalled", "find_uncalled"),
]


@pytest.mark.parametrize(("place", "name"), sample(NOTING))
def test_model_that_is_well(expected, place, name, monkeypatch):
    check(expected, "well", place, name, monkeypatch)


EXPLAINING = [
    ("tracer.Tracer", "replay"),
    ("tracer", "public_functions"),
    ("replay", "replay_step"),
    ("replay", "random_numbers_kept"),
    ("snapshots", "values_put_back"),
    ("snapshots", "put_attributes"),
    ("explain.Explainer", "missing"),
    ("explain.Explainer", "find_untracked"),
    ("explain", "idle_optimizers"),
    ("explain", "operations_by_name"),
    ("evidence", "find_owners"),
    ("message", "describe"),
]


@pytest.mark.parametrize(("place", "name"), sample(EXPLAINING))
def test_model_that_is_cut(expected, place, name, monkeypatch):
    check(expected, "cut", place, name, monkeypatch)


@pytest.mark.parametrize(
    ("kind", "place", "name"),
    [("cut", "missing", "find_causes"), ("nan", "nonfinite", "find_cause")],
)
def test_verdict_that_cannot_be_explained(
    expected, kind, place, name, monkeypatch
):
    """It is told once that it cannot, and it stands."""
    troubles = check(expected, kind, place, name, monkeypatch)
    assert len(troubles) == 1


@pytest.mark.skipif(BACKEND == "jax", reason="has zeros for what is missing")
def test_error_is_raised_all_the_same(monkeypatch):
    monkeypatch.setattr(find("missing"), "find_causes", fail)
    monkeypatch.setattr(find("zeros"), "find_causes", fail)
    model = network(Detach)
    with (
        pytest.warns(UserWarning, match="ArithmeticError: out of order"),
        pytest.raises(GradientSanityError, match="2 of 4"),
    ):
        model.fit(
            *regression_data(8), verbose=0, callbacks=[GradientSanityCallback()]
        )


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["make_shadow", rarely("statistics_rows")])
def test_compiled_step_that_cannot_be_computed_beside(name, monkeypatch):
    """Nothing is known of its gradients then, and nothing is said of them."""
    weights, _ = train(network(jit_compile=True))
    expected = {"well": (weights, {})}
    check(expected, "well", "shadow", name, monkeypatch, jit_compile=True)


@pytest.mark.skipif(BACKEND != "jax", reason="is about JAX alone")
@pytest.mark.parametrize("name", ["__init__", "statistics"])
def test_program_of_statistics_that_fails(expected, name, monkeypatch):
    """Nothing is known of the gradients then, and nothing is said of them."""
    check(expected, "well", "programs.Program", name, monkeypatch)
