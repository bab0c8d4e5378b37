"""Writes files as this version saves them, which later versions have to load.

    python tools/make_saved_fixtures.py

writes into `tests/saving/fixtures/<version>/`, once for each release:

- `objects.json`: every public object that holds no weights, as Keras
  serializes it, with arguments that are not the defaults, and
  `objects.npz`: what each of them computes;
- `layers.keras`: a model of the layers, and `layers.npz`: what it predicts;
- `compiled.keras` and `compiled.weights.h5`: a model compiled with losses and
  metrics, and `compiled.npz`: what `evaluate` says.

The folders of older versions stay as they are, and so does what the folder of
this one holds: objects that are new are added. Run it with the oldest Keras
that `setup.cfg` allows, for Keras reads files of newer ones only where none of
its own layers has got a new argument.
"""

import json
import os
import pathlib
import sys

# What it is written with makes no difference; the least noise is here.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_perceptual as kp

TESTS = pathlib.Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "contract")]

from measuring import images, measure  # noqa: E402
from public_objects import saved_classes  # noqa: E402
from test_serialization import (  # noqa: E402
    ALEXNET_FILE,
    CONFIGURATIONS,
)

SIDE = 8


def has_no_file(arguments):
    """Whether a configuration is one that another machine can have.

    Pictures of style are as large as everything else together.
    """
    return arguments.get("weights") != ALEXNET_FILE and (
        "style_image" not in arguments
    )


def objects():
    """Yields the name of a class, a number and an object of it."""
    for name, configurations in CONFIGURATIONS.items():
        for number, arguments in enumerate(configurations):
            if has_no_file(arguments):
                yield name, number, saved_classes()[name](**arguments)


def write_objects(folder):
    """Writes what has no weights, as Keras serializes it.

    What the files hold already stays as it is.
    """
    serialized, numbers = {}, {}
    if (folder / "objects.json").exists():
        text = (folder / "objects.json").read_text(encoding="utf-8")
        serialized = json.loads(text)
        numbers = dict(np.load(folder / "objects.npz"))
    known = {key.rpartition("-")[0] for key in serialized}
    for name, number, instance in objects():
        if not isinstance(instance, keras.layers.Layer) and name not in known:
            key = f"{name}-{number}"
            serialized[key] = keras.saving.serialize_keras_object(instance)
            numbers[key] = np.float32(measure(instance))
    text = json.dumps(serialized)
    (folder / "objects.json").write_text(f"{text}\n", encoding="utf-8")
    np.savez_compressed(folder / "objects.npz", **numbers)


def layers_model():
    """Returns a model in which each layer has an output of its own."""
    inputs = {
        "channels_last": keras.Input((SIDE, SIDE, 3), name="channels_last"),
        "channels_first": keras.Input((3, SIDE, SIDE), name="channels_first"),
    }
    outputs = {}
    for name, number, layer in objects():
        if not isinstance(layer, keras.layers.Layer):
            continue
        config = layer.get_config()
        config["name"] = f"{name}_{number}"
        if config.get("backbone", "none") is None:
            # The default one has half a million weights.
            config["backbone"] = keras.saving.serialize_keras_object(
                keras.layers.GlobalAveragePooling2D(name="mean")
            )
        layer = type(layer).from_config(config)
        layout = getattr(layer, "data_format", "channels_last")
        x = inputs[layout]
        if isinstance(layer, kp.ImageDistance):
            x = [x, keras.layers.Rescaling(0.5)(x)]
        outputs[config["name"]] = layer(x)
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(1)
    model.set_weights(
        [w + rng.uniform(-0.1, 0.1, w.shape) for w in model.get_weights()]
    )
    return model


def write_layers(folder):
    """Writes the layers with weights that are not those they start with."""
    model = layers_model()
    x = np.random.default_rng(2).random((2, SIDE, SIDE, 3), dtype="float32")
    predicted = model.predict(
        {"channels_last": x, "channels_first": np.moveaxis(x, -1, 1)},
        verbose=0,
    )
    model.save(folder / "layers.keras")
    np.savez_compressed(
        folder / "layers.npz",
        images=x,
        **{name: np.float32(value) for name, value in predicted.items()},
    )


def write_compiled(folder):
    """Writes a model with its losses, metrics and optimizer."""
    keras.utils.set_random_seed(3)
    loss = kp.WeightedSumLoss(
        {
            "features": (kp.PerceptualLoss("alexnet", {"relu1": 0.5}), 0.1),
            "edges": (kp.SobelGradientLoss("l2", scales=2), 0.05),
            "pixels": keras.losses.MeanAbsoluteError(),
        }
    )
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(3, 3, padding="same"),
            kp.LookupColorLayer(
                3,
                shaper_size=4,
                table_regularizer=kp.TableSmoothness(0.5, order=2),
                table_constraint=kp.MonotonicTable(low=-1.0),
            ),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        loss,
        metrics=[kp.LossTerms(loss), kp.LPIPSMetric()],
    )
    x, y = images(5), images(6)
    model.fit(x, y, epochs=2, verbose=0)
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    model.save(folder / "compiled.keras")
    model.save_weights(folder / "compiled.weights.h5")
    np.savez_compressed(folder / "compiled.npz", **found)


def main():
    """Writes all files that there are not and prints how large they are."""
    folder = TESTS / "saving" / "fixtures" / kp.__version__
    folder.mkdir(parents=True, exist_ok=True)
    write_objects(folder)
    for name, write in (("layers", write_layers), ("compiled", write_compiled)):
        if not (folder / f"{name}.keras").exists():
            write(folder)
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:8,d}  {path.relative_to(TESTS)}")


if __name__ == "__main__":
    main()
