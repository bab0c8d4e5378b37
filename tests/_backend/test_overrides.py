"""What holds between the defaults and what backends put in their place."""

import ast
import importlib.util
import json
import pathlib

import checks
import keras
import numpy as np
import pytest
from measuring import images, measure
from public_objects import run_python, saved_classes
from sampling import once

import keras_perceptual as kp
from keras_perceptual import _backend
from keras_perceptual._backend import defaults

FOLDER = pathlib.Path(_backend.__file__).parent
# What is named after a backend and more is a part of it.
BACKENDS = sorted(
    path.stem
    for path in FOLDER.glob("[a-z]*.py")
    if path.stem != "defaults" and "_" not in path.stem
)


def functions_of(module):
    """Returns the functions a source shows, by name, without importing it."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text("utf-8"))
    (shown,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    )
    found = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    assert {name for name in found if name in shown} == set(shown)
    return {name: found[name] for name in shown}


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_override_has_a_default_of_the_same_signature(backend):
    agreed = functions_of("defaults")
    for name, function in functions_of(backend).items():
        assert name in agreed
        found, wanted = (ast.unparse(f.args) for f in (function, agreed[name]))
        assert found == wanted, name


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_override_says_why_it_is_there(backend):
    source = (FOLDER / f"{backend}.py").read_text("utf-8").splitlines()
    for name, function in functions_of(backend).items():
        text = "\n".join(source[function.lineno - 1 : function.end_lineno])
        reasons = ("Speed: ", "Memory: ", "Why: ")
        assert any(reason in text for reason in reasons), name


def test_a_backend_has_its_overrides_and_else_the_defaults():
    backend = keras.backend.backend()
    own = importlib.import_module(f"{_backend.__name__}.{backend}")
    for name in defaults.__all__:
        source = own if name in own.__all__ else defaults
        assert getattr(_backend, name) is getattr(source, name)


@pytest.fixture
def on_defaults(monkeypatch):
    """Returns a function that puts the defaults in the place of overrides."""

    def force():
        for name in defaults.__all__:
            monkeypatch.setattr(_backend, name, getattr(defaults, name))

    return force


RANDOM = {"backbone": "alexnet", "weights": "random"}
IMAGES = images(0), images(1)
TABLE = np.random.default_rng(3).uniform(0, 1, (3, 4, 5, 3)).astype("float32")


def extended(*arrays):
    """Returns images large enough for every network."""
    return [np.tile(x, (1, 2, 2, 1)) for x in arrays]


LOSSES = {
    "CharbonnierLoss": [{"check_range": "clip"}],
    "ColorDifferenceLoss": [{}, {"difference": "oklab", "blur": 2}],
    "ContextualLoss": [{**RANDOM, "layers": ["relu2"]}],
    "DISTS": [{"weights": "random"}],
    "FocalFrequencyLoss": [{}],
    "HaarPSILoss": [{}],
    "MDSILoss": [{}],
    "LPIPS": [{"weights": "random"}],
    "MSSSIMLoss": [{"weights": (0.4, 0.6)}],
    "PerceivedDistance": [{"weights": "random"}],
    "PerceptualLoss": [RANDOM, {**RANDOM, "pooling": "l2"}],
    "SobelGradientLoss": [
        {},
        {"operator": "laplacian"},
        {"mode": "magnitude", "operator": "scharr", "scales": 2},
    ],
    "SSIMLoss": [{}],
    "TotalVariationLoss": [{}],
    "WaveletLoss": [{}],
    "WeightedSumLoss": [{"terms": {"edges": (kp.SobelGradientLoss(), 0.05)}}],
}
OTHERS = {
    "AdaptiveLookupColorLayer": {"size": 4},
    "BoundedTable": {},
    "DISTSMetric": {"loss": kp.DISTS(weights="random")},
    "ImageDistance": {"loss": kp.SSIMLoss()},
    "ImageLossMetric": {"loss": kp.SobelGradientLoss("l2")},
    "LPIPSMetric": {"loss": kp.LPIPS(weights="random")},
    "LookupColorLayer": {"size": 4},
    "MonotonicTable": {},
    "PerceivedDistanceMetric": {
        "loss": kp.PerceivedDistance(weights="random", size="small")
    },
    "MSSSIMMetric": {"weights": (0.5, 0.5)},
    "KIDMetric": {"backbone": "alexnet", "weights": "random"},
    "PSNRMetric": {"luma": True},
    "SSIMMetric": {},
    "TableMonotonicity": {},
    "TableRange": {},
    "TableSmoothness": {},
}
NETWORKS = ("DISTSMetric", "LPIPSMetric")
# Divides by the variances of hundreds of channels, which magnifies rounding.
TOLERANCES = {"DISTS": 5e-4}
WITHOUT_NUMBERS = {
    "GradientMonitor",
    "GradientSanityCallback",
    "ImageLogger",
    "LossTerms",
}


def test_every_public_object_is_compared():
    assert {*LOSSES, *OTHERS, *WITHOUT_NUMBERS} == set(saved_classes())


def compare(numbers, force, tolerance=1e-5):
    """Compares what a function returns with and without overrides."""
    expected = numbers()
    force()
    for found, wanted in zip(numbers(), expected, strict=True):
        atol = tolerance * np.max(np.abs(wanted))
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=atol)


@pytest.mark.parametrize(
    "name, arguments",
    [
        pytest.param(name, arguments, id=f"{name}-{number}")
        for name, several in LOSSES.items()
        for number, arguments in enumerate(several)
    ],
)
def test_losses_are_the_same_on_defaults(name, arguments, on_defaults):
    y_true, y_pred = extended(*IMAGES)

    def numbers():
        loss = saved_classes()[name](**arguments)
        return checks.compiled_gradient(loss)(y_true, y_pred)

    compare(numbers, on_defaults, TOLERANCES.get(name, 1e-5))


@pytest.mark.parametrize(
    "name", once(sorted(OTHERS, key=NETWORKS.__contains__), but=-len(NETWORKS))
)
def test_other_objects_are_the_same_on_defaults(name, on_defaults):
    def numbers():
        keras.utils.set_random_seed(0)
        return [np.array(measure(saved_classes()[name](**OTHERS[name])))]

    compare(numbers, on_defaults)


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["linear", "tetrahedral", "nearest"])
@pytest.mark.parametrize("extrapolate", ["clamp", "linear"])
@pytest.mark.parametrize("several", [False, True])
def test_cubes_are_the_same_on_defaults(
    interpolation, extrapolate, several, on_defaults
):
    cube = np.stack([TABLE, TABLE[::-1]]) if several else TABLE

    def total(cube, colors):
        found = kp.ops.look_up_cube(
            colors, cube, interpolation, (0.1, 0.9), extrapolate
        )
        return keras.ops.sum(found * found) + 0 * keras.ops.sum(colors)

    compare(
        lambda: [
            *checks.gradients(total, cube, images(2)),
            *checks.compiled_gradient(total)(cube, images(2)),
        ],
        on_defaults,
    )


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_curves_are_the_same_on_defaults(interpolation, on_defaults):
    def total(curves, colors):
        found = kp.ops.look_up_curves(colors, curves, interpolation)
        return keras.ops.sum(found * found) + 0 * keras.ops.sum(colors)

    compare(
        lambda: checks.gradients(total, TABLE[:, 0, 0], images(2)), on_defaults
    )


def test_operations_are_the_same_on_defaults(on_defaults):
    def numbers():
        found = [
            *kp.ops.image_gradients(images(2), "scharr"),
            kp.ops.laplacian(images(2)),
            kp.ops.halve_images(images(2)),
            *kp.ops.laplacian_pyramid(images(2), 3),
        ]
        return [keras.ops.convert_to_numpy(x) for x in found]

    compare(numbers, on_defaults)


PROGRAM = """
import json, sys
import keras
name = sys.argv[2]
if name:
    keras.backend.backend = lambda: name
sys.path.insert(0, sys.argv[1])
from measuring import measure
import keras_perceptual as kp
from keras_perceptual import _backend
from keras_perceptual._backend import defaults

assert not name or all(
    getattr(_backend, part) is getattr(defaults, part)
    for part in defaults.__all__
)
numbers = [
    measure(kp.SobelGradientLoss(mode="magnitude", scales=2)),
    measure(kp.SSIMLoss()),
    measure(kp.PerceptualLoss("alexnet", ["relu1"], weights="random")),
    measure(kp.LookupColorLayer(4)),
    measure(kp.TableSmoothness()),
]
print(json.dumps(numbers))
"""


def package(name, *others):
    missing = [x for x in (name, *others) if not importlib.util.find_spec(x)]
    return pytest.param(
        name,
        marks=pytest.mark.skipif(
            bool(missing), reason=f"not installed: {missing}"
        ),
    )


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(
    "backend",
    # Keras computes convolutions on NumPy with JAX.
    ["another", package("numpy", "jax"), package("openvino")],
)
def test_another_backend_computes_with_the_defaults(backend):
    expected = [
        measure(kp.SobelGradientLoss(mode="magnitude", scales=2)),
        measure(kp.SSIMLoss()),
        measure(kp.PerceptualLoss("alexnet", ["relu1"], weights="random")),
        measure(kp.LookupColorLayer(4)),
        measure(kp.TableSmoothness()),
    ]
    folder = pathlib.Path(measure.__code__.co_filename).parent
    unknown = backend == "another"
    printed = run_python(
        PROGRAM,
        folder,
        backend if unknown else "",
        backend=None if unknown else backend,
    )
    found = json.loads(printed.splitlines()[-1])
    for some, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(some, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() not in BACKENDS, reason="nobody trains there"
)
def test_whoever_watches_is_told_of_every_copy_when_a_gradient_is_taken(rng):
    """In proportion, and not when the value alone is computed."""
    x, told = rng.normal(size=(2, 3)).astype("float32"), []

    def weighed(copies):
        sums = [keras.ops.sum(copy**2) for copy in copies]
        # The third copy is not used.
        return sums[0] + 3 * sums[1], sums

    def total(x):
        return _backend.watch_gradients(weighed, x, 3, told.append)[0]

    total(keras.ops.array(x))
    assert not told
    # The factor is that of the loss, such as of loss scaling.
    (found,) = checks.gradients(lambda x: 4 * total(x), x)
    np.testing.assert_allclose(found, 32 * x, rtol=1e-5)
    (gradients,) = told
    first, second, third = map(keras.ops.convert_to_numpy, gradients)
    assert np.all(np.abs(first) > np.abs(x)) and not third.any()
    np.testing.assert_allclose(second, 3 * first, rtol=1e-5)


@pytest.mark.skipif(
    keras.backend.backend() not in BACKENDS, reason="nobody trains there"
)
def test_watched_copies_have_second_derivatives(rng):
    x = rng.normal(size=3).astype("float32")

    def penalty(x):
        def value(x):
            return _backend.watch_gradients(
                lambda copies: (keras.ops.sum(copies[0] ** 3), ()),
                x,
                2,
                lambda found: None,
            )[0]

        return keras.ops.sum(slope(value, x) ** 2)

    (found,) = checks.gradients(penalty, x)
    np.testing.assert_allclose(found, 36 * x**3, rtol=1e-4)


def slope(function, x):
    """Returns a gradient that can be differentiated."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(function)(x)
    import torch

    return torch.autograd.grad(function(x), x, create_graph=True)[0]
