"""Names of the backends that are no promise of theirs, and may go away.

Whichever it is, the package can be imported, and models train as without the
check. What is found out may be less; of that is told once.
"""

import importlib
import subprocess
import sys
import types
import warnings

import keras
import numpy as np
import pytest
from gradient_models import Closed, Detach, regression_data
from keras import layers
from sampling import sample

from keras_perceptual.callbacks import GradientSanityCallback

# What is imported, and the part of it that is gone; `None` for all of it.
NAMES = {
    "tensorflow": [
        ("tensorflow.python.framework", "ops"),
        ("tensorflow.python.framework", "random_seed"),
        ("tensorflow.python.ops", "custom_gradient"),
        ("tensorflow.python.ops", "stateful_random_ops"),
        ("tensorflow.python.eager", "backprop"),
        ("tensorflow.python.eager.context.Context", "add_op_callback"),
        ("tensorflow.python.eager", "execute"),
        ("tensorflow.python.eager", "record"),
        (
            "tensorflow.python.eager.polymorphic_function",
            "concrete_function",
        ),
        ("tensorflow.python", "pywrap_tfe"),
    ],
    "jax": [
        ("jax.extend.core", "Primitive"),
        ("jax.extend.core", "Literal"),
        ("jax.extend.core", "jaxpr_as_fun"),
        ("jax.core", "Tracer"),
    ],
    "torch": [
        ("torch._C._functorch", "get_unwrapped"),
        ("torch.autograd.graph", "get_gradient_edge"),
        ("torch.autograd.function", "BackwardCFunction"),
        ("torch", "cond"),
    ],
}[keras.backend.backend()]


def network(*middle):
    # TensorFlow may change what a penalty alone changes while others still read
    # it: two plain trainings differ then.
    cut = any(isinstance(part, Detach) for part in middle)
    penalty = None if cut else "l2"
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, kernel_regularizer=penalty, name="hidden"),
            layers.Dropout(0.5),
            *middle,
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile("sgd", "mse")
    return model


def train(model, *callbacks):
    """Trains, and returns the weights and what the check warned about."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(
            *regression_data(24),
            batch_size=8,
            verbose=0,
            shuffle=False,
            callbacks=list(callbacks),
        )
    texts = [str(w.message) for w in caught]
    return model.get_weights(), [t for t in texts if t.startswith("Gradient")]


@pytest.fixture(scope="module")
def plain():
    """The weights of trainings without a check."""
    made = {None: (), Detach: (Detach(),), Closed: (Closed(),)}
    return {kind: train(network(*parts))[0] for kind, parts in made.items()}


def find(path):
    """Returns a module, or a class in one."""
    try:
        return importlib.import_module(path)
    except ImportError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


@pytest.fixture(
    params=sample([(pair,) for pair in NAMES]), ids=lambda pair: ".".join(pair)
)
def without(request, monkeypatch):
    """Takes a name away from what is imported from now on."""
    path, name = request.param
    owner = find(path)
    if isinstance(getattr(owner, name), types.ModuleType):
        # Those of TensorFlow have it already, and work on.
        monkeypatch.setattr(owner, name, types.ModuleType(name))
    else:
        monkeypatch.delattr(owner, name)


def check(plain, kind, *middle, **policy):
    """Returns the statuses of all variables, and the findings in words.

    There are no statuses where nothing could be found out, and that was said.
    """
    callback = GradientSanityCallback(**policy)
    weights, texts = train(network(*middle), callback)
    for found, expected in zip(weights, plain[kind], strict=True):
        np.testing.assert_array_equal(found, expected)
    troubles = [text for text in texts if "could not look into" in text]
    assert len(troubles) <= 1
    report = callback.report
    if report is None:
        assert troubles
        return {}, []
    return (
        {record.path: record.status for record in report},
        [text for text in texts if text not in troubles],
    )


def test_model_that_is_well(without, plain):
    statuses, texts = check(plain, None)
    assert set(statuses.values()) <= {"ok"}
    assert texts == []


def test_model_that_is_cut(without, plain):
    """Without an explanation it is judged by what the optimizer was given."""
    statuses, texts = check(plain, Detach, Detach(), on_missing="warn")
    if statuses:
        assert len(texts) == 1
        assert statuses["net/hidden/bias"] in ("missing", "zero")
        assert statuses["net/out/kernel"] == "ok"


@pytest.mark.slow
def test_zeros_that_another_batch_may_end(without, plain):
    statuses, texts = check(plain, Closed, Closed(), on_zero="warn")
    if statuses:
        assert len(texts) == 1
        assert statuses["net/hidden/bias"] == "zero"
        assert statuses["net/out/bias"] == "ok"


class Getter:
    """Does what a property of Keras does, and is none."""

    def __init__(self, former):
        self.former = former

    def __get__(self, variable, kind=None):
        return self if variable is None else self.former.fget(variable)


def test_value_of_a_variable_that_is_no_property(plain, monkeypatch):
    former = keras.Variable.value
    monkeypatch.setattr(keras.Variable, "value", Getter(former))
    statuses, texts = check(plain, None)
    assert set(statuses.values()) == {"ok"}
    assert texts == []


class TestSeam:
    """What is asked of the trainer of Keras."""

    def check(self, plain, monkeypatch, make):
        kind = type(network())
        original = kind.make_train_function
        monkeypatch.setattr(kind, "make_train_function", make(original))
        statuses, texts = check(plain, None)
        assert set(statuses.values()) <= {"ok"}
        assert texts == []

    def test_step_of_an_object_that_is_not_looked_at(self, plain, monkeypatch):
        """The trainer takes that of the class."""

        def make(original):
            def make_train_function(self, force=False):
                step = vars(self).pop("train_step", None)
                try:
                    return original(self, force)
                finally:
                    if step is not None:
                        vars(self)["train_step"] = step

            return make_train_function

        self.check(plain, monkeypatch, make)

    def test_without_the_word_that_has_it_made_anew(self, plain, monkeypatch):
        def make(original):
            return lambda self: original(self)

        self.check(plain, monkeypatch, make)

    def test_error_in_making_it(self, plain, monkeypatch):
        """Raised for the check alone."""

        def make(original):
            def make_train_function(self, force=False):
                if force:
                    raise ArithmeticError("not now")
                return original(self)

            return make_train_function

        self.check(plain, monkeypatch, make)


@pytest.mark.slow
@pytest.mark.tensorflow_only
def test_the_package_can_be_imported():
    """A fresh Python, in which modules have nothing for anybody else."""
    program = (
        "import sys, types, tensorflow as tf, tensorflow.python.ops as ops\n"
        "for name in ('control_flow_util', 'custom_gradient'):\n"
        "    stub = types.ModuleType(name)\n"
        "    sys.modules['tensorflow.python.ops.' + name] = stub\n"
        "    setattr(ops, name, stub)\n"
        "import keras_perceptual.gradients, keras_perceptual.losses\n"
        "from keras_perceptual.gradients import tracers\n"
        "tracers.load('tracer')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
