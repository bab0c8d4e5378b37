import importlib.resources
import inspect
import json

import keras
import pytest
from public_objects import (
    KERAS_BASES,
    NOT_SAVED,
    public_classes,
    run_python,
    saved_classes,
)

import keras_perceptual

# A change here is a change of the API and needs a line in CHANGELOG.md.
PUBLIC_NAMES = [
    "AdaptiveLookupColorLayer",
    "BoundedTable",
    "CharbonnierLoss",
    "ColorDifferenceLoss",
    "ContextualLoss",
    "DISTS",
    "DISTSMetric",
    "FocalFrequencyLoss",
    "GradientMonitor",
    "GradientReport",
    "GradientSanityCallback",
    "GradientSanityError",
    "HaarPSILoss",
    "ImageDistance",
    "ImageLogger",
    "ImageLossMetric",
    "KIDMetric",
    "LPIPS",
    "LPIPSMetric",
    "LookupColorLayer",
    "LossTerms",
    "MDSILoss",
    "MSSSIMLoss",
    "MSSSIMMetric",
    "PSNRMetric",
    "MonotonicTable",
    "PerceivedDistance",
    "PerceivedDistanceMetric",
    "PerceptualLoss",
    "SSIMLoss",
    "SSIMMetric",
    "SobelGradientLoss",
    "TableMonotonicity",
    "TableRange",
    "TableSmoothness",
    "TotalVariationLoss",
    "WaveletLoss",
    "WeightedSumLoss",
    "callbacks",
    "check_gradients",
    "constraints",
    "features",
    "functional",
    "gradients",
    "io",
    "layers",
    "losses",
    "metrics",
    "ops",
    "regularizers",
    "replay",
]
# Bound by Python because public modules import them; no part of the API.
INTERNAL_MODULES = [
    "configuration",
    "docstrings",
    "event_file",
    "files",
    "image_validation",
    "model_walk",
    "plotting",
    "progress",
    "range_check",
    "typing",
    "validation",
]

# Where each public object lives, apart from the top level.
HOMES = {
    "AdaptiveLookupColorLayer": "layers",
    "BoundedTable": "constraints",
    "CharbonnierLoss": "losses",
    "ColorDifferenceLoss": "losses",
    "ContextualLoss": "losses",
    "DISTS": "losses",
    "DISTSMetric": "metrics",
    "FocalFrequencyLoss": "losses",
    "GradientMonitor": "callbacks",
    "GradientReport": "gradients",
    "GradientSanityCallback": "callbacks",
    "GradientSanityError": "gradients",
    "HaarPSILoss": "losses",
    "ImageDistance": "layers",
    "ImageLogger": "callbacks",
    "ImageLossMetric": "metrics",
    "KIDMetric": "metrics",
    "LPIPS": "losses",
    "LPIPSMetric": "metrics",
    "LookupColorLayer": "layers",
    "LossTerms": "metrics",
    "MDSILoss": "losses",
    "MSSSIMLoss": "losses",
    "MSSSIMMetric": "metrics",
    "PSNRMetric": "metrics",
    "MonotonicTable": "constraints",
    "PerceivedDistance": "losses",
    "PerceivedDistanceMetric": "metrics",
    "PerceptualLoss": "losses",
    "SSIMLoss": "losses",
    "SSIMMetric": "metrics",
    "SobelGradientLoss": "losses",
    "TableMonotonicity": "regularizers",
    "TableRange": "regularizers",
    "TableSmoothness": "regularizers",
    "TotalVariationLoss": "losses",
    "WaveletLoss": "losses",
    "WeightedSumLoss": "losses",
    "check_gradients": "gradients",
    "replay": "callbacks",
}


@pytest.mark.slow
def test_the_public_names_are_these():
    names = json.loads(
        run_python(
            "import json, keras_perceptual\n"
            "print(json.dumps(sorted(n for n in vars(keras_perceptual)\n"
            "                        if not n.startswith('_'))))"
        )
    )
    assert names == sorted(PUBLIC_NAMES + INTERNAL_MODULES)


def test_every_public_object_has_a_home():
    objects = {
        name
        for name in PUBLIC_NAMES
        if not inspect.ismodule(getattr(keras_perceptual, name))
    }
    assert objects == set(HOMES)


@pytest.mark.parametrize("name", HOMES)
def test_the_top_level_name_is_the_same_object(name):
    home = getattr(keras_perceptual, HOMES[name])
    assert getattr(home, name) is getattr(keras_perceptual, name)


@pytest.mark.parametrize("name", HOMES)
def test_each_class_has_a_file_of_its_own(name):
    value = getattr(keras_perceptual, name)
    assert value.__module__.startswith(f"keras_perceptual.{HOMES[name]}.")


@pytest.mark.parametrize("name", saved_classes())
def test_every_class_is_registered_under_its_name(name):
    cls = public_classes()[name]
    registered = f"keras_perceptual>{name}"
    assert issubclass(cls, KERAS_BASES)
    assert keras.saving.get_registered_name(cls) == registered
    assert keras.saving.get_registered_object(registered) is cls


@pytest.mark.parametrize("name", public_classes())
def test_arguments_after_the_second_are_keyword_only(name):
    positional = [
        parameter
        for parameter in inspect.signature(
            public_classes()[name]
        ).parameters.values()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    assert len(positional) <= 2


def test_only_known_classes_are_left_unregistered():
    assert set(NOT_SAVED) <= set(public_classes())
    for name in NOT_SAVED:
        assert not issubclass(public_classes()[name], KERAS_BASES)


def test_types_are_shipped():
    files = importlib.resources.files(keras_perceptual)
    assert files.joinpath("py.typed").is_file()


def test_the_version_is_readable():
    major, minor, patch = keras_perceptual.__version__.split(".")[:3]
    assert int(major) >= 0
    assert int(minor) >= 0
    assert patch
