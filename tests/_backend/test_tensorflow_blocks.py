"""Look-ups in blocks: as without them, and a few programs for all sizes."""

import itertools

import keras
import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual import _backend
from keras_perceptual._backend import defaults

if keras.backend.backend() != "tensorflow":
    pytest.skip("is about TensorFlow alone", allow_module_level=True)

import tensorflow as tf

from keras_perceptual._backend import tensorflow_blocks as blocks

OPEN = tf.TensorSpec((None, None, None, 3))
# A large block and two small ones, the last of which is filled up.
SHAPE = (1, 257, 300, 3)


def gradients_of(layer):
    """Returns a function of images, and of tables if the layer has none."""

    def run(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            found = layer(inputs[0] if len(inputs) == 1 else list(inputs))
            height = tf.cast(tf.shape(found)[1], found.dtype)
            slope = tf.range(height)[:, None, None] / height
            loss = tf.reduce_mean(found**2 * slope)
        weights = [x.value for x in layer.trainable_weights]
        return [found, *tape.gradient(loss, [*inputs, *weights])]

    return run


def make(rng, **settings):
    """Returns a layer with a table of noise, and what it is called with."""
    layer = kp.LookupColorLayer(5, check_range="clip", **settings)
    layer.set_table(rng.uniform(size=layer.table_shape))
    return layer


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("interpolation", ["linear", "tetrahedral"])
def test_values_are_equal_to_the_last_bit(rng, interpolation, own, monkeypatch):
    layer = make(rng, interpolation=interpolation)
    shape = (2, 93, 100, 3) if own else SHAPE
    inputs = [tf.constant(rng.uniform(-0.1, 1.1, shape), tf.float32)]
    specs = [OPEN]
    if own:
        layer = kp.LookupColorLayer(
            5, interpolation=interpolation, check_range="clip"
        )
        inputs.append(tf.constant(rng.uniform(size=(2, 5, 5, 5, 3)), "float32"))
        specs.append(tf.TensorSpec((None, 5, 5, 5, 3)))
    run = gradients_of(layer)
    found = tf.function(run, input_signature=specs)(*inputs)
    fixed = tf.function(run)(*inputs)
    monkeypatch.setattr(
        _backend, "compile_pointwise", defaults.compile_pointwise
    )
    wanted = tf.function(run, jit_compile=True)(*inputs)
    for ours in (found, fixed):
        np.testing.assert_array_equal(ours[0], wanted[0])
        for slope, expected in zip(ours[1:], wanted[1:], strict=True):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(slope, expected, atol=3e-6 * scale)


def programs_of(graph):
    """Returns the names of what a graph calls and has compiled."""
    found = graph.as_graph_def()
    inner = (f.node_def for f in found.library.function)
    nodes = itertools.chain(found.node, *inner)
    return {x.attr["f"].func.name for x in nodes if x.attr["_XlaMustCompile"].b}


def test_images_of_all_sizes_share_two_programs(rng):
    layer = make(rng)
    blocks.blockwise.cache_clear()
    step = tf.function(layer, input_signature=[OPEN])
    for height, width in ((8, 8), (90, 100), (257, 300)):
        step(tf.zeros((1, height, width, 3)))
        layer(tf.zeros((1, 100, width + 90, 3)))
    assert blocks.blockwise.cache_info().misses == 1
    graph = tf.__internal__.FuncGraph("open")
    with graph.as_default():
        layer(tf.compat.v1.placeholder(OPEN.dtype, OPEN.shape))
    assert len(programs_of(graph)) == 2


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("shape", [OPEN.shape, (1, 8, 8, 3)], ids=str)
def test_what_is_to_run_elsewhere_is_free_of_it(rng, shape, interpolation):
    """A graph that somebody asks for is one that is stored or converted."""
    step = tf.function(make(rng, interpolation=interpolation))
    graph = step.get_concrete_function(tf.TensorSpec(shape)).graph
    assert programs_of(graph) == set()


@pytest.mark.parametrize("shape", [(0, 90, 100, 3), (1, 0, 100, 3)], ids=str)
def test_no_images_and_no_pixels(shape, rng):
    layer = make(rng)
    run = tf.function(gradients_of(layer), input_signature=[OPEN])
    found, of_images, of_table = run(tf.zeros(shape))
    assert found.shape == of_images.shape == shape
    assert of_table.shape == layer.table.shape


@pytest.mark.slow
def test_derivatives_that_know_no_blocks(rng):
    """Jacobians, vectorized maps and forward derivatives go without."""
    layer = make(rng)
    images = tf.constant(rng.uniform(size=(2, 64, 65, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        means = tf.reduce_mean(layer(images), axis=(0, 1, 2))
    slopes = tape.jacobian(means, images)
    with tf.autodiff.ForwardAccumulator(images, images) as forward:
        means = tf.reduce_mean(layer(images), axis=(0, 1, 2))
    np.testing.assert_allclose(
        forward.jvp(means),
        tf.einsum("obhwc,bhwc->o", slopes, images),
        rtol=1e-4,
    )
    mapped = tf.function(
        lambda x: tf.vectorized_map(lambda y: layer(y[None])[0], x)
    )(images)
    np.testing.assert_allclose(mapped, layer(images), atol=1e-6)


@pytest.mark.slow
def test_second_derivatives(rng):
    layer = make(rng)
    images = tf.constant(rng.uniform(size=(1, 91, 100, 3)), tf.float32)

    def run(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            slope = gradients_of(layer)(x)[1]
            loss = tf.reduce_sum(slope**2)
        return outer.gradient(loss, x)

    found = tf.function(run, input_signature=[OPEN])(images)
    wanted = tf.function(run, jit_compile=True)(images)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
