import importlib.util
import json
import textwrap

import keras
import pytest
from public_objects import run_python

pytestmark = pytest.mark.slow

BACKENDS = ("tensorflow", "jax", "torch")

# Imports the module named on the command line and prints what that did.
PROBE = """
import json, random, sys, warnings
import keras, numpy

def state():
    found = {
        "warnings filters": repr(warnings.filters),
        "python random": hash(random.getstate()),
        "numpy random": repr(numpy.random.get_state()),
        "dtype policy": keras.config.dtype_policy().name,
        "floatx": keras.config.floatx(),
        "data format": keras.config.image_data_format(),
        "epsilon": keras.config.epsilon(),
    }
    if keras.backend.backend() == "tensorflow":
        import tensorflow
        generator = tensorflow.random.get_global_generator()
        found["backend random"] = repr(generator.state.numpy().tolist())
    if keras.backend.backend() == "torch":
        import torch
        found["backend random"] = repr(torch.get_rng_state().tolist())
    return found

sockets, files, watching = [], [], True

def watch(event, arguments):
    if not watching:
        return
    if event.startswith("socket."):
        sockets.append(event)
    if event == "open":
        files.append(str(arguments[0]))

before, backends_before = state(), set(sys.modules)
sys.addaudithook(watch)
__import__(sys.argv[1])
watching = False
after = state()
code = (".py", ".pyc", ".so", ".pyd", ".pth", ".zip")
print(json.dumps({
    "backends": [m for m in ("tensorflow", "jax", "torch") if m in sys.modules],
    "imported": [
        m for m in ("tensorflow", "jax", "torch")
        if m in sys.modules and m not in backends_before
    ],
    "sockets": sockets,
    "data files": [
        f for f in files if not f.endswith(code) and ".pyc." not in f
    ],
    "changed": [k for k in before if before[k] != after[k]],
    "modules": [m for m in sys.modules if m.startswith("keras_perceptual.")],
}))
"""

# Everything that an import must not do.
MISBEHAVIOUR = """
import random, socket, warnings
import keras, numpy
import tensorflow, torch, jax
random.random()
numpy.random.rand()
warnings.simplefilter("ignore")
keras.config.set_dtype_policy("mixed_bfloat16")
socket.socket().close()
numpy.load({weights!r})
"""


def installed(backend):
    return pytest.param(
        backend,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(backend) is None,
            reason=f"{backend} is not installed",
        ),
    )


def probe(module, backend, **environment):
    printed = run_python(PROBE, module, backend=backend, **environment)
    return json.loads(printed.splitlines()[-1])


@pytest.mark.once
@pytest.mark.parametrize("backend", [installed(name) for name in BACKENDS])
def test_importing_the_package_does_nothing_else(backend):
    found = probe("keras_perceptual", backend)
    assert found["imported"] == []
    assert found["sockets"] == []
    assert found["data files"] == []
    assert found["changed"] == []
    # What explains gradients is imported when it is needed: it takes a third
    # of the time that the package takes.
    later = ("gradients.explain", "gradients.cuts", "gradients.recorder.flight")
    assert not {f"keras_perceptual.{m}" for m in later} & set(found["modules"])
    if backend != "tensorflow":
        assert "tensorflow" not in found["backends"]


@pytest.mark.once
def test_the_probe_sees_what_an_import_must_not_do(tmp_path):
    """The test above can fail: a module that does it all is caught."""
    import numpy as np

    weights = tmp_path / "weights.npz"
    np.savez(weights, kernel=np.zeros(3))
    module = textwrap.dedent(MISBEHAVIOUR).format(weights=str(weights))
    present = [b for b in BACKENDS if importlib.util.find_spec(b) is not None]
    module = module.replace("tensorflow, torch, jax", ", ".join(present))
    (tmp_path / "misbehaving.py").write_text(module)

    found = probe(
        "misbehaving", keras.backend.backend(), PYTHONPATH=str(tmp_path)
    )
    assert set(found["backends"]) == set(present)
    assert "socket.__new__" in found["sockets"]
    assert str(weights) in found["data files"]
    assert {
        "warnings filters",
        "python random",
        "numpy random",
        "dtype policy",
    } <= set(found["changed"])


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow"
    or importlib.util.find_spec("tensorflow") is None,
    reason="needs TensorFlow beside another backend",
)
def test_the_probe_sees_tensorflow_beside_another_backend(tmp_path):
    (tmp_path / "wrong_backend.py").write_text("import tensorflow\n")
    found = probe(
        "wrong_backend", keras.backend.backend(), PYTHONPATH=str(tmp_path)
    )
    assert found["imported"] == ["tensorflow"]


WITHOUT_KERAS = """
import sys
for name in ("keras", "tensorflow", "jax", "torch"):
    sys.modules[name] = None
import keras_perceptual as kp
from keras_perceptual import io
print(io.apply_table(io.ColorTable(curves=[[0] * 3, [1, 2, 3]]), [0.5] * 3))
for name in ("LPIPS", "layers", "no_such"):
    try:
        getattr(kp, name)
    except (AttributeError, ModuleNotFoundError) as error:
        print(type(error).__name__, error)
try:
    import keras_perceptual.losses
except ModuleNotFoundError as error:
    print("losses", error.name)
"""


def test_tables_in_files_need_no_keras():
    """With NumPy alone `io` works, and what needs Keras says so."""
    lines = run_python(WITHOUT_KERAS).splitlines()
    assert lines[0] == "[0.5 1.  1.5]"
    for line, name in zip(lines[1:3], ("LPIPS", "layers"), strict=True):
        start = f"ModuleNotFoundError keras_perceptual.{name} needs Keras"
        assert line.startswith(start)
        assert "Received: import of keras halted" in line
    assert lines[3].startswith("AttributeError")
    assert lines[4] == "losses keras"
