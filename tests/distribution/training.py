"""The same short trainings, to be run on one device and on several."""

import contextlib

import keras
import numpy as np

import keras_perceptual as kp

SIDE = 32
BATCH = 8
# The last batch is short: of three images, two devices get two and one. JAX
# does not share out what cannot be divided.
IMAGES = 10 if keras.backend.backend() == "jax" else 11
CASES = ("image_weights", "masks", "balanced")


class WorkerModel(keras.Model):
    """A model that `fit` trains on several machines, see docs/distributed.md.

    It is created outside the scope of the strategy, its layers inside.
    """

    def train_step(self, data):
        return as_vectors(super().train_step(data))

    def test_step(self, data):
        return as_vectors(super().test_step(data))


def as_vectors(logs):
    return keras.tree.map_structure(lambda x: keras.ops.reshape(x, (1,)), logs)


def photographs(count=IMAGES, seed=0):
    """Returns inputs, targets, masks and a weight for each image."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(size=(2, count, SIDE, SIDE, 3)).astype("float32")
    masks = (rng.uniform(size=(count, SIDE, SIDE)) > 0.3).astype("float32")
    # Images differ in how much of them counts.
    masks[::2, : SIDE // 2] = 0
    weights = rng.uniform(0.2, 2, size=count).astype("float32")
    return x, y, masks, weights


def sum_of_losses(**options):
    """Edges, features and pixels; Keras's mean divides by the mask."""
    return kp.WeightedSumLoss(
        {
            "pixels": keras.losses.MeanSquaredError(
                reduction="mean_with_sample_weight"
            ),
            "edges": (kp.SobelGradientLoss("l2"), 0.5),
            "features": (
                kp.PerceptualLoss("alexnet", weights="random"),
                0.01,
            ),
        },
        **options,
    )


def compile_for(case, model, judge):
    """Compiles a model with the losses and metrics of a case."""
    metrics = []
    if case == "image_weights":
        loss = kp.SobelGradientLoss(reduction="mean_with_sample_weight")
        # Of the fewer than eleven images on a device, none fills a subset.
        metrics = [kp.KIDMetric("alexnet", "relu1", subset_size=20)]
    else:
        shares = {"pixels": 1, "edges": 1, "features": 2}
        balanced = {"balance": "gradient", "shares": shares}
        loss = sum_of_losses(**balanced if case == "balanced" else {})
        metrics = [kp.LossTerms(loss, gradients=case == "balanced")]
        metrics += [kp.LPIPSMetric()] if judge else []
    optimizer = keras.optimizers.SGD(0.05)
    model.compile(optimizer, loss, metrics=metrics)


def run(case, strategy=None, model_class=keras.Model, judge=False):
    """Trains for two epochs and returns all numbers, by name."""
    scope = strategy.scope if strategy else contextlib.nullcontext
    keras.utils.set_random_seed(0)
    with scope():
        inputs = keras.Input((SIDE, SIDE, 3))
        x = keras.layers.Conv2D(3, 3, padding="same", name="conv")(inputs)
        # Of a network that has learned nothing, colors lie anywhere.
        table = kp.LookupColorLayer(5, check_range="off", name="table")
        outputs = table(x)
        if model_class is keras.Model:
            model = model_class(inputs, outputs)
            compile_for(case, model, judge)
    if model_class is not keras.Model:
        model = model_class(inputs, outputs)
    x, y, masks, weights = photographs()
    with contextlib.nullcontext() if model.compiled else scope():
        if not model.compiled:
            compile_for(case, model, judge)
        history = model.fit(
            x,
            y,
            sample_weight=weights if case == "image_weights" else masks,
            batch_size=BATCH,
            epochs=2,
            shuffle=False,
            verbose=0,
        ).history
    found = {name: np.array(values) for name, values in history.items()}
    for name, weight in getattr(model.loss, "term_weights", dict)().items():
        found[f"weight of {name}"] = keras.ops.convert_to_numpy(weight)
    found |= {
        variable.path: keras.ops.convert_to_numpy(variable.value)
        for variable in model.trainable_variables
    }
    return {f"{case} {name}": value for name, value in found.items()}


def assert_equal_numbers(found, expected, **tolerances):
    """Whatever one device finds, several find too."""
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name],
            value,
            err_msg=name,
            **({"rtol": 1e-5, "atol": 1e-6} | tolerances),
        )
