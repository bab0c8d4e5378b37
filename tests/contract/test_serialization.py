import dataclasses
import inspect
import json
import pathlib

import keras
import numpy as np
import pytest
from checks import check_config, through_json
from measuring import images, measure
from public_objects import PACKAGE, run_python, saved_classes
from sampling import rarely

import keras_perceptual as kp

ALEXNET_FILE = str(PACKAGE / "features" / "weights" / "alexnet.npz")

# Together the configurations of a class give every argument a value that is not
# its default: the first as many as go together, the others what is left.
CONFIGURATIONS = {
    "PerceptualLoss": [
        {
            "backbone": "alexnet",
            "layers": {"relu2": 0.5, "conv4": 2.0},
            "weights": "torchvision",
            "distance": "cosine",
            "content_weight": 0.5,
            "style_weight": 3.0,
            "normalize_features": True,
            "value_range": (-1, 1),
            "check_range": "off",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "looks",
            "dtype": "bfloat16",
        },
        {"weights": "random", "distance": "charbonnier", "reduction": None},
        {"layers": ["relu1_2", "block2_conv2"], "distance": "mae"},
        {"backbone": "alexnet", "weights": ALEXNET_FILE},
        {"backbone": "alexnet", "content_weight": 0.0, "style_weight": 2.0},
        {
            "backbone": "alexnet",
            "layers": ["conv3:before_activation"],
            "pooling": "average",
            "style_weight": 1.0,
            "style_layers": {"relu1": 0.5},
            "style_image": np.linspace(0, 1, 9747).reshape(57, 57, 3).tolist(),
            "gram_normalization": "hw",
        },
        {"backbone": "alexnet", "layers": ["relu1"], "scales": 2},
        {"backbone": "alexnet", "distance": "lost", "added_weight": 0.3},
    ],
    "ColorDifferenceLoss": [
        {
            "difference": "oklab",
            "blur": 4,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "colors",
            "dtype": "bfloat16",
        },
    ],
    "LPIPS": [
        {
            "backbone": "vgg16",
            "weights": "torchvision",
            "linear_heads": False,
            "value_range": (-1, 1),
            "check_range": "off",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "alike",
            "dtype": "bfloat16",
        },
        {"weights": "random", "reduction": None},
        {"weights": ALEXNET_FILE},
    ],
    "DISTS": [
        {
            "weights": "random",
            "resize": 24,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "textures",
            "dtype": "bfloat16",
        },
        {"reduction": None},
    ],
    "PerceivedDistance": [
        {
            "backbone": "vgg16",
            "size": "small",
            "forgive_gain": False,
            "weights": "random",
            "value_range": (0, 255),
            "check_range": "off",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "seen",
            "dtype": "bfloat16",
        },
        {"size": "small", "reduction": None},
    ],
    "SobelGradientLoss": [
        {
            "norm": "charbonnier",
            "operator": "scharr",
            "mode": "magnitude",
            "scales": 3,
            "downsampling": "gaussian",
            "components": "sum",
            "normalize": True,
            "log_space": True,
            "padding": "valid",
            "epsilon": 0.01,
            "value_range": (0, 255),
            "check_range": "clip",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "edges",
            "dtype": "bfloat16",
        },
        {"norm": "l2", "mode": "gdl", "operator": "forward"},
        {"operator": "central", "padding": "replicate", "reduction": None},
        {"operator": "prewitt", "scales": 2, "downsampling": "stride"},
        {"operator": "laplacian", "norm": 1.5},
        {"operator": "laplacian_pyramid", "components": "sum"},
        {"mode": "angle", "log_space": True},
    ],
    "CharbonnierLoss": [
        {
            "epsilon": 0.02,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "pixels",
            "dtype": "bfloat16",
        },
        {"check_range": "clip", "reduction": None},
    ],
    "TotalVariationLoss": [
        {
            "norm": "isotropic",
            "epsilon": 0.02,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "smooth",
            "dtype": "bfloat16",
        },
        {"norm": "l2", "reduction": None},
    ],
    "WeightedSumLoss": [
        {
            "terms": {
                "pixels": (keras.losses.MeanAbsoluteError(), 0.5),
                "edges": (kp.SobelGradientLoss("l2", scales=2), 0.05),
            },
            "channels": {"edges": [0, 2]},
            "balance": "gradient",
            "shares": {"pixels": 1.0, "edges": 3.0},
            "name": "both",
        },
    ],
    "ImageLossMetric": [
        {
            "loss": kp.LPIPS(weights="random", value_range=(0, 255)),
            "tile": 256,
            "name": "mean",
            "dtype": "bfloat16",
        },
        {"loss": kp.SobelGradientLoss("l2")},
    ],
    "LPIPSMetric": [
        {
            "loss": kp.LPIPS(weights="random", value_range=(-1, 1)),
            "tile": 512,
            "name": "likeness",
            "dtype": "bfloat16",
        },
        {},
    ],
    "DISTSMetric": [
        {
            "loss": kp.DISTS(weights="random", resize=20),
            "tile": 512,
            "name": "texture",
            "dtype": "bfloat16",
        },
    ],
    "PerceivedDistanceMetric": [
        {
            "loss": kp.PerceivedDistance(size="small", forgive_gain=False),
            "tile": 512,
            "name": "seen",
            "dtype": "bfloat16",
        },
    ],
    "KIDMetric": [
        {
            "backbone": "alexnet",
            "layer": "relu2",
            "weights": "random",
            "subset_size": 10,
            "degree": 2,
            "gamma": 0.5,
            "coef": 2.0,
            "value_range": (0, 255),
            "data_format": "channels_first",
            "name": "kernels",
            "dtype": "float64",
        },
    ],
    "PSNRMetric": [
        {
            "border": 4,
            "luma": True,
            "value_range": (0, 255),
            "check_range": "clip",
            "data_format": "channels_first",
            "name": "decibels",
            "dtype": "bfloat16",
        },
    ],
    "SSIMMetric": [
        {
            "loss": kp.SSIMLoss(filter_size=5),
            "name": "structure",
            "dtype": "bfloat16",
        },
    ],
    "MSSSIMMetric": [
        {
            "loss": kp.MSSSIMLoss(weights=(0.4, 0.6), filter_size=5),
            "name": "structure",
            "dtype": "bfloat16",
        },
    ],
    "LossTerms": [
        {
            "loss": kp.WeightedSumLoss(
                {"edges": (kp.SobelGradientLoss("l2"), 0.05)}
            ),
            "gradients": True,
            "name": "parts",
            "dtype": "bfloat16",
        },
    ],
    "SSIMLoss": [
        {
            "filter_size": 5,
            "filter_sigma": 0.8,
            "k1": 0.02,
            "k2": 0.05,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "structure",
            "dtype": "bfloat16",
        },
        {"filter_size": 8, "reduction": None},
    ],
    "MSSSIMLoss": [
        {
            "weights": (0.4, 0.6),
            "filter_size": 5,
            "filter_sigma": 0.8,
            "k1": 0.02,
            "k2": 0.05,
            "epsilon": 0.01,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "structures",
            "dtype": "bfloat16",
        },
        {"weights": (0.3, 0.3, 0.4), "filter_size": 7, "reduction": None},
    ],
    "HaarPSILoss": [
        {
            "c": 20.0,
            "alpha": 5.0,
            "subsample": False,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "wavelets",
            "dtype": "float64",
        },
    ],
    "MDSILoss": [
        {
            "c1": 100.0,
            "c2": 50.0,
            "c3": 500.0,
            "alpha": 0.5,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "deviation",
            "dtype": "float64",
        },
    ],
    "WaveletLoss": [
        {
            "wavelet": "db2",
            "levels": 2,
            "approximation_weight": 0.5,
            "detail_weight": 0.3,
            "diagonal_weight": 0.2,
            "luma": False,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "bands",
            "dtype": "float64",
        },
    ],
    "FocalFrequencyLoss": [
        {
            "alpha": 0.5,
            "log_matrix": True,
            "patch_factor": 2,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "spectra",
            "dtype": "bfloat16",
        },
        {"alpha": 2.0, "reduction": None},
    ],
    "ContextualLoss": [
        {
            "backbone": "alexnet",
            "layers": {"relu1": 0.5, "relu2": 2.0},
            "weights": "random",
            "band_width": 0.25,
            "max_features": 12,
            "value_range": (0, 255),
            "check_range": "raise",
            "data_format": "channels_first",
            "reduction": "sum",
            "name": "context",
            "dtype": "bfloat16",
        },
        {"backbone": "alexnet", "layers": ["relu2"], "reduction": None},
    ],
    "AdaptiveLookupColorLayer": [
        {
            "size": (2, 4, 3),
            "num_tables": 2,
            "backbone": keras.layers.GlobalMaxPooling2D(
                data_format="channels_first", name="looks"
            ),
            "interpolation": "tetrahedral",
            "value_range": (-1, 1),
            "check_range": "clip",
            "table_regularizer": kp.TableSmoothness(0.5, order=2),
            "table_constraint": kp.MonotonicTable(axes="all", low=-0.25),
            "mix_regularizer": keras.regularizers.L2(0.25),
            "data_format": "channels_first",
            "dtype": "mixed_bfloat16",
        },
        {"size": 4, "extrapolate": "linear", "name": "each"},
    ],
    "ImageDistance": [
        {
            "loss": kp.SobelGradientLoss("l2", value_range=(0, 255)),
            "name": "edges",
            "dtype": "mixed_bfloat16",
        },
    ],
    "LookupColorLayer": [
        {
            "size": 5,
            "dimensions": 1,
            "shared": True,
            "value_range": (-1, 1),
            "output_range": (0.0, 7.0),
            "check_range": "off",
            "extrapolate": "linear",
            "table_initializer": keras.initializers.RandomNormal(seed=1),
            "table_regularizer": keras.regularizers.L2(0.5),
            "table_constraint": keras.constraints.NonNeg(),
            "data_format": "channels_first",
        },
        {"size": (2, 4, 3), "interpolation": "tetrahedral"},
        {"size": 6, "interpolation": "nearest"},
        {"size": 7, "extrapolate": "linear", "dtype": "mixed_bfloat16"},
        {"size": 3, "trainable": False, "name": "grade"},
        {
            "size": 3,
            "shaper_size": 4,
            "shaper_regularizer": keras.regularizers.L2(0.5),
            "shaper_constraint": keras.constraints.NonNeg(),
            "curves_domain": ((-1.0, 0.0, 0.0), (1.0, 1.0, 2.0)),
            "cube_domain": ((0.0, 0.0, 0.0), (3.0, 4.0, 5.0)),
        },
    ],
    "TableSmoothness": [{"factor": 0.5, "order": 2}, {"factor": 2.0}],
    "TableMonotonicity": [{"factor": 0.5, "axes": "all"}, {"factor": 2.0}],
    "TableRange": [{"factor": 0.5, "low": -0.25, "high": 1.25}],
    "BoundedTable": [{"low": 0.25, "high": 1.25}],
    "MonotonicTable": [
        {"axes": "all", "low": -0.25, "high": 1.25},
        {"low": 0.25},
    ],
    "GradientMonitor": [
        {
            "every": 7,
            "log_dir": "logs",
            "keep": 50,
            "on_nonfinite": "skip",
            "rules": ("died", "exploding"),
            "max_bytes": 1000,
        },
        {"rules": "default", "every": 1},
    ],
    "GradientSanityCallback": [
        {
            "steps": 5,
            "on_missing": "warn",
            "on_zero": "raise",
            "on_nonfinite": "ignore",
            "log_dir": "logs",
            "ignore": ("*/bias", "head/*"),
        },
        {"ignore": "*/key/bias"},
    ],
    "ImageLogger": [
        {
            "log_dir": "logs",
            "inputs": np.ones((2, 3, 4, 5), "float16"),
            "targets": np.arange(96, dtype="uint8").reshape(2, 3, 4, 4),
            "every": 3,
            "unit": "batch",
            "max_images": 2,
            "output": "image",
            "value_range": (0, 100),
            "tables": False,
            "png": False,
            "data_format": "channels_first",
        },
        {"log_dir": "logs", "inputs": np.ones((1, 2)), "tensorboard": False},
    ],
}
CASES = {
    f"{name}-{index}": (name, arguments)
    for name, configurations in CONFIGURATIONS.items()
    for index, arguments in enumerate(configurations)
}

REVIVE = """
import json, sys
import keras
import keras_perceptual
sys.path.insert(0, sys.argv[2])
from measuring import measure

with open(sys.argv[1]) as file:
    jobs = json.load(file)
revived = {}
for case, serialized in jobs.items():
    instance = keras.saving.deserialize_keras_object(serialized)
    revived[case] = {
        "serialized": keras.saving.serialize_keras_object(instance),
        "numbers": measure(instance),
    }
with open(sys.argv[1] + ".revived", "w") as file:
    json.dump(revived, file)
"""


def arguments_of(cls):
    """Returns the arguments of a class that have a name, with defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def left_at_default(cls, configurations):
    """Returns the arguments that no configuration gives another value."""
    return {
        name
        for name, default in arguments_of(cls).items()
        if all(
            not isinstance(value, np.ndarray) and value == default
            for value in (c.get(name, default) for c in configurations)
        )
    }


def test_every_class_has_configurations():
    assert set(CONFIGURATIONS) == set(saved_classes())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_argument_is_left_at_its_default(name):
    cls = saved_classes()[name]
    assert left_at_default(cls, CONFIGURATIONS[name]) == set()


def test_an_argument_at_its_default_is_noticed():
    cls = saved_classes()["GradientSanityCallback"]
    arguments = dict(CONFIGURATIONS["GradientSanityCallback"][0])
    arguments["steps"] = arguments_of(cls)["steps"]
    del arguments["ignore"]
    assert left_at_default(cls, [arguments]) == {"steps", "ignore"}


@pytest.mark.parametrize("case", CASES)
def test_config_goes_through_json(case):
    name, arguments = CASES[case]
    check_config(saved_classes()[name](**arguments))


@pytest.mark.parametrize("case", CASES)
def test_config_holds_what_was_given(case):
    name, arguments = CASES[case]
    config = through_json(saved_classes()[name](**arguments).get_config())
    for argument, value in arguments.items():
        if argument == "ignore" and isinstance(value, str):
            value = [value]
        if isinstance(value, (str, int, float, type(None))):
            if argument != "dtype":  # Keras writes a policy out.
                assert config[argument] == value
        elif argument == "terms":
            weights = {name: weight for name, (_, weight) in value.items()}
            assert {k: v[1] for k, v in config[argument].items()} == weights
        elif isinstance(value, (tuple, list, dict)):
            assert config[argument] == through_json(value)
        elif isinstance(value, np.ndarray):
            serialized = keras.saving.serialize_keras_object(value)
            assert config[argument] == through_json(serialized)
        else:
            assert config[argument]["class_name"] == type(value).__name__


@dataclasses.dataclass
class Pair:
    """What an object was, and what it is after its revival elsewhere."""

    serialized: dict
    numbers: list
    revived: dict


@pytest.fixture(scope="module")
def revived_elsewhere(request, tmp_path_factory):
    """The objects of this run, sent to a fresh process and back."""
    cases = [
        item.callspec.params["case"]
        for item in request.session.items
        if item.name.startswith("test_revived_in_a_fresh_process[")
    ]
    jobs, numbers = {}, {}
    for case in cases:
        name, arguments = CASES[case]
        instance = saved_classes()[name](**arguments)
        jobs[case] = keras.saving.serialize_keras_object(instance)
        numbers[case] = measure(instance)
    path = tmp_path_factory.mktemp("revival") / "objects.json"
    path.write_text(json.dumps(jobs))
    run_python(REVIVE, path, pathlib.Path(__file__).parent)
    revived = json.loads(pathlib.Path(f"{path}.revived").read_text())
    return {
        case: Pair(through_json(jobs[case]), numbers[case], revived[case])
        for case in cases
    }


@pytest.mark.slow
# JAX says so of losses and metrics of Keras, too.
@pytest.mark.filterwarnings(
    "ignore:Explicitly requested dtype float64:UserWarning"
)
@pytest.mark.parametrize("case", CASES)
def test_revived_in_a_fresh_process(case, revived_elsewhere):
    pair = revived_elsewhere[case]
    assert pair.revived["serialized"] == pair.serialized
    np.testing.assert_allclose(
        pair.revived["numbers"], pair.numbers, rtol=1e-5, atol=1e-7
    )
    cls = saved_classes()[CASES[case][0]]
    if not issubclass(cls, keras.callbacks.Callback):
        assert np.any(np.abs(pair.numbers) > 0)


# --- Models that were compiled with the loss -------------------------------


def small_model(loss):
    """Returns a compiled model; all of them have the same layers."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((32, 32, 3), name="images")
    outputs = keras.layers.Conv2D(3, 3, padding="same", name="conv")(inputs)
    grade = kp.LookupColorLayer(3, check_range="off", name="grade")
    outputs = grade(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="adam", loss=loss)
    return model


def perceptual_loss():
    return kp.PerceptualLoss("alexnet", ["relu1", "relu2"], distance="mae")


def train(model, epochs=2):
    """Fits in a fixed order and returns the losses of the epochs."""
    history = model.fit(
        images(5),
        images(6),
        batch_size=1,
        epochs=epochs,
        shuffle=False,
        verbose=0,
    )
    return history.history["loss"]


GO_ON = """
import json, sys
import keras
import keras_perceptual
sys.path.insert(0, sys.argv[2])
from measuring import images

model = keras.models.load_model(sys.argv[1])
loss = model.evaluate(images(5), images(6), verbose=0)
history = model.fit(
    images(5), images(6),
    batch_size=1, epochs=2, shuffle=False, verbose=0,
)
bare = keras.models.load_model(sys.argv[1], compile=False)
print(json.dumps({
    "loss": loss,
    "config": keras.saving.serialize_keras_object(model.loss),
    "history": history.history["loss"],
    "predicted": bare.predict(images(5), verbose=0).mean().item(),
    "compiled": bool(bare.compiled),
}))
"""


@pytest.mark.slow
def test_a_model_goes_on_in_a_fresh_process(tmp_path):
    model = small_model(perceptual_loss())
    train(model)
    path = tmp_path / "model.keras"
    model.save(path)
    loss = model.evaluate(images(5), images(6), verbose=0)
    predicted = model.predict(images(5), verbose=0).mean()

    printed = run_python(GO_ON, path, pathlib.Path(__file__).parent)
    found = json.loads(printed.splitlines()[-1])
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(found["predicted"], predicted, rtol=1e-5)
    assert found["config"] == through_json(
        keras.saving.serialize_keras_object(model.loss)
    )
    assert not found["compiled"]
    # With the state of its optimizer: the next epochs are those that this
    # process sees, and they lead on.
    np.testing.assert_allclose(found["history"], train(model), rtol=1e-4)
    assert found["history"][-1] < loss


@pytest.mark.slow
def test_a_saved_model_is_no_larger_for_the_loss(tmp_path):
    sizes = {}
    for name, loss in {"ours": perceptual_loss(), "mse": "mse"}.items():
        model = small_model(loss)
        train(model, epochs=1)
        model.save(tmp_path / f"{name}.keras")
        sizes[name] = (tmp_path / f"{name}.keras").stat().st_size
    assert abs(sizes["ours"] - sizes["mse"]) < 1024


@pytest.mark.parametrize(
    "saved, loaded",
    [
        ("ours", "mse"),
        ("mse", "ours"),
        rarely(("ours", "ours")),
        rarely(("mse", "mse")),
    ],
)
def test_weights_load_with_and_without_the_loss(saved, loaded, tmp_path):
    losses = {"ours": perceptual_loss, "mse": lambda: "mse"}
    source = small_model(losses[saved]())
    train(source, epochs=1)
    source.save_weights(tmp_path / "model.weights.h5")

    target = small_model(losses[loaded]())
    train(target, epochs=1)  # For the optimizer to have its variables.
    target.set_weights([0.0 * w for w in target.get_weights()])
    target.load_weights(tmp_path / "model.weights.h5")
    for expected, found in zip(
        source.get_weights(), target.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    train(target, epochs=1)
