import dataclasses
import re
import warnings

import keras
import numpy as np
import pytest
from keras import ops
from sampling import sample

import keras_perceptual as kp
from keras_perceptual.losses.distance import PixelDistance
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.range_check import (
    RangeCheck,
    describe_range_mistake,
    is_narrow,
    is_outside,
    likely_range,
    show_range,
)

BACKEND = keras.backend.backend()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquaredDistance(PixelDistance):
    def measure(self, y_true, y_pred, mask=None):
        return ops.mean(ops.square(y_pred - y_true), axis=(1, 2, 3))


class Difference(ImageLoss):
    """The smallest image loss there can be."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._distance = SquaredDistance.of(self)


def images(low, high, count=4):
    x = np.linspace(low, high, count * 4 * 4 * 3, dtype="float32")
    return x.reshape(count, 4, 4, 3)


def identity_model(loss, **options):
    model = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            keras.layers.Dense(3, kernel_initializer="identity"),
        ]
    )
    model.compile(keras.optimizers.SGD(1e-9), loss, **options)
    return model


def traced(function):
    """Returns a function as a backend traces it, where it does."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    return function


def finish():
    """Waits for what a compiled function still has to tell."""
    if BACKEND == "jax":
        import jax

        jax.effects_barrier()


# Every way in which a step of training may run.
WAYS = {
    "tensorflow": [
        {"run_eagerly": True, "jit_compile": False},
        {"jit_compile": False},
        {"jit_compile": True},
        {"jit_compile": True, "steps_per_execution": 2},
    ],
    "jax": [
        {"run_eagerly": True},
        {"jit_compile": False},
        {"jit_compile": True},
    ],
    "torch": [{}],
}[BACKEND]


def warnings_of(function, *args, **kwargs):
    """Returns the warnings of a call, one in a line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
        finish()
    return "\n".join(
        str(w.message) for w in caught if w.category is UserWarning
    )


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_fit_warns_once(way):
    model = identity_model(Difference(), **way)
    x = images(0, 255, 8)
    told = warnings_of(model.fit, x, x, batch_size=2, epochs=2, verbose=0)
    assert told.count("Difference: y_true holds values") == 1
    assert told.count("Difference: y_pred holds values") == 1
    assert told.count("pass value_range=(0, 255)") == 2
    assert not warnings_of(model.fit, x, x, batch_size=2, verbose=0)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_fit_stops_where_it_is_asked_to(way):
    model = identity_model(Difference(check_range="raise"), **way)
    with pytest.raises(Exception, match=r"look like images in \(0, 255\)"):
        model.fit(images(0, 255, 8), images(0, 255, 8), batch_size=2, verbose=0)
        finish()


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("policy", sample(["warn", "raise", "clip"]))
def test_fit_says_nothing_of_images_in_the_range(way, policy):
    model = identity_model(Difference(check_range=policy), **way)
    model.fit(images(0, 1, 8), images(0, 1, 8), batch_size=2, verbose=0)
    finish()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_fit_says_nothing_where_nobody_wants_to_hear(way):
    model = identity_model(Difference(check_range="off"), **way)
    model.fit(images(0, 255, 8), images(0, 255, 8), batch_size=2, verbose=0)
    finish()


def test_a_traced_call_warns_about_the_prediction_as_well():
    loss = Difference()
    compute = traced(loss)
    told = warnings_of(compute, images(0, 1), images(0, 255))
    assert "Difference: y_pred holds values" in told


def test_raises_a_value_error_that_says_which_mistake_it_looks_like():
    loss = Difference(check_range="raise", value_range=(-1, 1))
    with pytest.raises(ValueError, match=r"Received: value_range=\(-1, 1\)"):
        loss(images(0, 255), images(-1, 1))


def test_what_may_be_right_is_never_an_error():
    """Pictures without a dark place do exist."""
    loss = Difference(check_range="raise", value_range=(-1, 1))
    with pytest.warns(UserWarning, match=r"pass value_range=\(0, 1\)"):
        loss(images(0, 1), images(-1, 1))


def test_clip_moves_stray_values_into_the_range():
    loss = Difference(check_range="clip", reduction=None)
    true, pred = images(0, 1), images(-0.5, 1.5)
    np.testing.assert_allclose(
        ops.convert_to_numpy(loss(true, pred)),
        np.square(np.clip(pred, 0, 1) - true).mean((1, 2, 3)),
        rtol=1e-5,
    )


def test_gradients_pass_by_the_check():
    import checks

    loss = Difference(check_range="warn")
    true, pred = images(0, 1), images(0, 255)
    with pytest.warns(UserWarning):
        (found,) = checks.gradients(lambda x: loss(true, x), pred)
    np.testing.assert_allclose(found, 2 * (pred - true) / true.size, rtol=1e-5)


def test_looks_at_some_pixels_of_every_image():
    """One image of another range in a large batch is found."""
    x = np.random.default_rng(0).uniform(size=(4, 100, 70, 3))
    x = x.astype("float32")
    x[3] *= 255
    with pytest.warns(UserWarning, match="y_true holds values"):
        Difference()(x, x / 255)
    with pytest.warns(UserWarning, match="y_true holds values"):
        Difference(data_format="channels_first")(
            *(np.moveaxis(a, -1, 1) for a in (x, x / 255))
        )


# Layers with a range of their own, which start out changing nothing.
LAYERS = {
    "curves": lambda **k: kp.LookupColorLayer(5, dimensions=1, **k),
    "cube": lambda **k: kp.LookupColorLayer(3, **k),
    "adaptive": lambda **k: kp.AdaptiveLookupColorLayer(
        3, backbone=keras.layers.GlobalAveragePooling2D(), **k
    ),
}


def layer_model(layer, **options):
    model = keras.Sequential([keras.Input((4, 4, 3)), layer])
    model.compile(keras.optimizers.SGD(1e-9), "mse", **options)
    return model


def use(model, method, x):
    if method == "predict":
        return model.predict(x, batch_size=2, verbose=0)
    return getattr(model, method)(x, x, batch_size=2, verbose=0)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    ("name", "method"),
    sample([("curves", "fit"), ("cube", "evaluate"), ("adaptive", "predict")]),
)
def test_a_layer_warns_once(name, method, way):
    model = layer_model(LAYERS[name](), **way)
    told = warnings_of(use, model, method, images(0, 255, 8))
    assert told.count("input holds values from") == 1
    assert "pass value_range=(0, 255)" in told
    assert not warnings_of(use, model, method, images(0, 255, 8))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("method", ["fit", "predict"])
def test_a_layer_stops_where_it_is_asked_to(method, way):
    model = layer_model(LAYERS["curves"](check_range="raise"), **way)
    with pytest.raises(Exception, match=r"look like images in \(-1, 1\)"):
        use(model, method, images(-1, 1, 8))
        finish()


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    ("name", "policy"),
    sample([("curves", "warn"), ("cube", "raise"), ("adaptive", "clip")]),
)
def test_a_layer_says_nothing_of_images_in_the_range(name, policy, way):
    model = layer_model(LAYERS[name](check_range=policy), **way)
    for method in ("fit", "predict"):
        assert not warnings_of(use, model, method, images(-0.2, 1.2, 8))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_says_nothing_where_nobody_wants_to_hear(name):
    layer = LAYERS[name](check_range="off")
    assert not warnings_of(layer, images(0, 255))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("compile_it", [traced, lambda f: f])
def test_a_call_of_a_layer_warns(name, compile_it):
    layer = LAYERS[name]()
    layer.build((None, 4, 4, 3))
    assert "input holds" in warnings_of(compile_it(layer), images(0, 255))
    layer = LAYERS[name](value_range=(0, 255))
    layer.build((None, 4, 4, 3))
    told = warnings_of(compile_it(layer), images(0, 1))
    assert "pass value_range=(0, 1)" in told


@pytest.mark.parametrize("name", LAYERS)
def test_clip_reads_the_ends_of_the_table(name):
    layer = LAYERS[name](check_range="clip", extrapolate="linear")
    with pytest.warns(UserWarning, match="input holds"):
        found = layer(images(-1, 3))
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), np.clip(images(-1, 3), 0, 1), atol=1e-6
    )
    assert layer.extrapolate == "linear"


@pytest.mark.parametrize("shape", [(3,), (7, 3), (50, 60, 3), (2, 3, 70, 9, 3)])
def test_a_layer_looks_at_any_number_of_axes(shape):
    x = np.zeros(shape, "float32")
    x.reshape(-1)[0] = 200
    with pytest.warns(UserWarning, match="from 0 to 200"):
        LAYERS["curves"]()(x)


def test_transparency_is_not_looked_at():
    x = np.concatenate([images(0, 1), 255 * np.ones((4, 4, 4, 1))], -1)
    LAYERS["curves"]()(x.astype("float32"))
    LAYERS["curves"](data_format="channels_first")(np.moveaxis(x, -1, 1))


def test_unknown_policies_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'warn'"):
        Difference(check_range="warning")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0.0, 1.0)),
        (-0.05, 1.05, (0.0, 1.0)),
        (-1.0, 1.0, (-1.0, 1.0)),
        (0.0, 255.0, (0.0, 255.0)),
        (-3.0, 260.0, (0.0, 255.0)),
        (-500.0, 3.0, None),
        (-2.1, 2.6, None),
    ],
)
def test_likely_range(low, high, expected):
    assert likely_range(low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "promised", "text"),
    [
        (0, 255, (0.0, 1.0), r"look like images in \(0, 255\)"),
        (-1, 1, (0.0, 1.0), r"value_range=\(-1, 1\)"),
        (0, 1, (0.0, 255.0), r"value_range=\(0, 1\)"),
        (0, 1, (-1.0, 1.0), r"value_range=\(0, 1\)"),
        (-7e4, 0, (0.0, 1.0), "Rescale or clip"),
        # ImageNet's mean and deviation, normal numbers, `preprocess_input`.
        (-2.12, 2.64, (0.0, 1.0), r"standardized.*images \* deviation \+ mean"),
        (-4.2, 4.1, (-1.0, 1.0), "standardized images"),
        (-123.7, 151.1, (0.0, 1.0), "add the mean.*value_range=.0, 255"),
        (-128, 127, (0.0, 255.0), "less a mean, as `preprocess_input`"),
    ],
)
def test_describes_the_likely_mistake(low, high, promised, text):
    assert is_outside(low, high, promised, 0.1) or is_narrow(
        low, high, promised
    )
    sentence = describe_range_mistake(low, high, promised)
    assert re.search(text, sentence)
    assert f"{show_range(promised)} was expected" in sentence


@pytest.mark.parametrize(
    ("low", "high", "promised"),
    [
        (0.0, 1.0, (0.0, 1.0)),
        (-0.05, 1.05, (0.0, 1.0)),
        (0.0, 255.0, (0.0, 255.0)),
        (0.0, 0.0, (0.0, 255.0)),
        (1.0, 1.0, (-1.0, 1.0)),
        (-0.1, 1.0, (-1.0, 1.0)),
        (np.nan, np.nan, (0.0, 1.0)),
    ],
)
@pytest.mark.parametrize("kind", [float, ops.convert_to_tensor])
def test_says_nothing_of_what_may_be_right(low, high, promised, kind):
    low, high = kind(low), kind(high)
    assert not is_outside(low, high, promised, 0.1)
    assert not is_narrow(low, high, promised)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("y_true", 0.1),
        ("a target", 0.1),
        ("style_image", 0.1),
        ("input", 0.25),
        ("y_pred", 10.0),
    ],
)
def test_how_far_outside_values_may_lie(name, share):
    """As a share of the width of the range."""
    check = RangeCheck("It", "raise", (-1.0, 3.0), "channels_last")
    for near, expected in ((0.99, False), (1.01, True)):
        away = 4 * share * near
        assert check._is_outside(name, -1 - away, 3) == expected
        assert check._is_outside(name, -1, 3 + away) == expected
    # Of what is not cut off, ten times the width.
    loose = RangeCheck("It", "raise", (-1, 3), "channels_last", clamped=False)
    assert not loose._is_outside(name, -40.5, 42.5)
    assert loose._is_outside(name, -41.5, 3) and loose._is_outside(
        name, 0, 43.5
    )


def test_transparency_and_layout_decide_which_channels_are_looked_at(rng):
    images = rng.uniform(0, 1, (2, 6, 7, 4)).astype("float32")
    images[..., 3] = 255
    for data_format in ("channels_last", "channels_first"):
        given = images
        if data_format == "channels_first":
            given = np.moveaxis(images, -1, 1)
        RangeCheck("It", "raise", (0, 1), data_format, channels=3)(
            {"input": given}
        )
        with pytest.raises(ValueError, match="It: input"):
            RangeCheck("It", "raise", (0, 1), data_format)({"input": given})
