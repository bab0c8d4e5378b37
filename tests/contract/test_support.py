"""What is trained in which precision, and how it is compiled.

`tools/support_matrix.py` runs all of these (`--all --all-cells`) in several
environments and makes the table of `docs/where_it_runs.md` of the outcome.
"""

import functools

import keras
import numpy as np
import pytest
from measuring import images
from sampling import sample

import keras_perceptual as kp

BACKEND = keras.backend.backend()
POLICIES = {
    "float32": 1e-5,
    "mixed_float16": 2e-2,
    "mixed_bfloat16": 5e-2,
    "float64": 1e-5,
}
WAYS = {
    "eager": {"run_eagerly": True},
    "graph": {"jit_compile": False},
    "XLA": {"jit_compile": True},
}
WAYS_OF = {
    "tensorflow": ("eager", "graph", "XLA"),
    "jax": ("eager", "XLA"),
    "torch": ("eager",),
}
# How a training runs that says nothing of it, on a machine without a GPU.
USUAL_WAY = {"tensorflow": "graph", "jax": "XLA", "torch": "eager"}[BACKEND]


def has_64_bits():
    """JAX computes with 32 where they are not switched on."""
    if BACKEND != "jax":
        return True
    import jax

    return jax.config.jax_enable_x64


CELLS = [
    pytest.param(
        policy,
        way,
        id=f"{policy}-{way}",
        marks=[] if way == USUAL_WAY else pytest.mark.further_cell,
    )
    for policy in POLICIES
    if policy != "float64" or has_64_bits()
    for way in WAYS_OF[BACKEND]
]


def slow_too(cell):
    marks = (*cell.marks, pytest.mark.slow)
    return pytest.param(*cell.values, id=cell.id, marks=marks)


def losses_on_features():
    taps = ["relu1", "conv2"]
    return kp.WeightedSumLoss(
        {
            "features": kp.PerceptualLoss(
                "alexnet", taps, weights="random", style_weight=0.5
            ),
            "lpips": kp.LPIPS("alexnet", weights="random"),
        }
    )


def losses_on_pixels():
    return kp.WeightedSumLoss(
        {
            "edges": kp.SobelGradientLoss(),
            "ssim": kp.SSIMLoss(),
            "pixels": (kp.CharbonnierLoss(), 0.5),
        }
    )


def grade(x):
    """Color tables of all kinds, one after the other."""
    # Of a network that has learned nothing, colors lie anywhere.
    x = kp.LookupColorLayer(
        5,
        interpolation="tetrahedral",
        shaper_size=4,
        table_regularizer=kp.TableSmoothness(0.1),
        check_range="off",
        name="cube",
    )(x)
    x = kp.LookupColorLayer(
        8,
        dimensions=1,
        extrapolate="linear",
        table_constraint=kp.MonotonicTable(),
        check_range="off",
        name="curves",
    )(x)
    return kp.AdaptiveLookupColorLayer(
        backbone=keras.layers.GlobalAveragePooling2D(),
        size=3,
        num_tables=2,
        check_range="off",
        name="adaptive",
    )(x)


FAMILIES = {
    "losses on features": (lambda x: x, losses_on_features),
    "losses on pixels": (lambda x: x, losses_on_pixels),
    "color tables": (grade, keras.losses.MeanSquaredError),
}


def make_model(layers):
    """Returns a model whose weights are the same in every precision."""
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Conv2D(3, 3, padding="same", name="conv")(inputs)
    outputs = layers(outputs)
    # As is recommended for mixed precision: what a loss sees is not rounded.
    full = keras.config.dtype_policy().variable_dtype
    outputs = keras.layers.Activation("linear", dtype=full)(outputs)
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(7)
    for variable in model.trainable_variables:
        if variable.name == "kernel":
            variable.assign(0.1 * rng.normal(size=variable.shape))
    # Near to the identity, so that what comes out is in the range.
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[1, 1] += np.eye(3)
    model.get_layer("conv").set_weights([kernel, bias + 0.02])
    return model


def train(family, policy, way):
    """Trains for two steps and returns the model and the losses of both."""
    keras.config.set_dtype_policy(policy)
    if policy == "float64":
        keras.config.set_floatx("float64")
    layers, make_loss = FAMILIES[family]
    model = make_model(layers)
    loss = make_loss()
    terms = isinstance(loss, kp.WeightedSumLoss)
    optimizer = keras.optimizers.SGD(1e-3)
    if policy == "mixed_float16":
        # So low that no step is left out for an overflow.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 128.0)
    model.compile(
        optimizer,
        loss,
        metrics=[kp.LossTerms(loss)] if terms else [],
        **WAYS[way],
    )
    history = model.fit(
        images(1),
        images(2),
        epochs=2,
        verbose=0,
        callbacks=[kp.GradientSanityCallback(on_zero="raise", steps=2)],
    ).history
    assert set(history) == {"loss", *(loss.terms if terms else [])}
    return model, history


@functools.cache
def reference(family):
    """Returns the losses in float32, computed operation by operation."""
    policy = keras.config.dtype_policy()
    found = train(family, "float32", "eager")[1]
    keras.config.set_dtype_policy(policy)
    return found


# The others tell the same more slowly: each is a training, and one of all.
@pytest.mark.parametrize(
    ("policy", "way"),
    [
        cell if cell.values[0] == "mixed_float16" else slow_too(cell)
        for cell in CELLS
    ],
)
@pytest.mark.parametrize("family", sample(list(FAMILIES)))
def test_training(family, policy, way, tmp_path):
    """Losses as in float32, a gradient for every weight, saved and loaded."""
    expected = reference(family)
    model, found = train(family, policy, way)
    for name, values in expected.items():
        np.testing.assert_allclose(
            found[name], values, rtol=POLICIES[policy], err_msg=name
        )
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.evaluate(images(1), images(2), verbose=0),
        model.evaluate(images(1), images(2), verbose=0),
        rtol=1e-3 if "16" in policy else 1e-5,
    )


@pytest.mark.parametrize(("policy", "way"), CELLS)
def test_gradient_check(policy, way):
    """Names what cuts the gradient off, in every precision."""
    keras.config.set_dtype_policy(policy)

    def cut(x):
        return keras.layers.Lambda(keras.ops.round, name="rounding")(x)

    model = make_model(cut)
    model.compile("sgd", "mse", **WAYS[way])
    with pytest.raises(kp.GradientSanityError, match=r"(?is)round.*'rounding'"):
        model.fit(
            images(1),
            images(2),
            verbose=0,
            callbacks=[kp.GradientSanityCallback()],
        )
