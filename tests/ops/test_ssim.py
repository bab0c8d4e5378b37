import inspect

import checks
import keras
import numpy as np
import pytest
import torture
from distortions import astronaut, distorted
from keras import ops
from reference import ssim as reference
from sampling import rarely, sample

from keras_perceptual.ops.ssim import (
    MS_SSIM_WEIGHTS,
    check_image_size,
    gaussian_window,
    ms_ssim_distance,
    smallest_size,
    ssim_distance,
    ssim_map,
)

# By the names of the arguments here, and of those of the twin.
SETTINGS = [
    {},
    {"filter_size": 7, "filter_sigma": 0.8},
    {"filter_size": 4, "filter_sigma": 3.0},
    {"filter_size": 1},
    {"k1": 0.1, "k2": 0.5},
]
WEIGHTS = [(1.0,), (0.4, 0.6), (0.2, 0.0, 0.8), (0.5, 1.5, 1.0)]


def twin(settings):
    names = {"filter_size": "size", "filter_sigma": "sigma"}
    return {names.get(name, name): x for name, x in settings.items()}


@pytest.fixture
def pair(rng):
    """Images that have something in common, of an odd height."""
    y_true = torture.picture(27, 30)
    noise = rng.uniform(0, 1, y_true.shape)
    return y_true, (0.7 * y_true + 0.3 * noise).astype("float32")


def to_numpy(x):
    return ops.convert_to_numpy(x)


# Masks.


@pytest.mark.parametrize(
    "distance",
    [
        ssim_distance,
        lambda *args, **kw: ms_ssim_distance(*args, (0.4, 0.6), **kw),
    ],
    ids=["one scale", "two scales"],
)
def test_a_mask_says_where_images_are_compared(pair, distance):
    y_true, y_pred = pair
    settings = {"filter_size": 5, "filter_sigma": 1.0}
    whole = to_numpy(distance(*pair, **settings))
    mask = np.ones(y_true.shape[:3], "float32")
    same = to_numpy(distance(*pair, mask=mask, **settings))
    np.testing.assert_allclose(same, whole, rtol=1e-4)
    mask[:, :14] = 0
    half = to_numpy(distance(*pair, mask=mask, **settings))
    y_pred = y_pred.copy()
    y_pred[:, :14] = 0
    np.testing.assert_allclose(
        to_numpy(distance(y_true, y_pred, mask=mask, **settings)),
        half,
        rtol=1e-3,
    )
    none = distance(*pair, mask=np.zeros_like(mask), **settings)
    np.testing.assert_array_equal(to_numpy(none), 0)


# Values.


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_equals_the_numpy_twin(pair, settings, channels):
    x, y = (images[..., :channels] for images in pair)
    expected = 1 - reference.ssim(x, y, **twin(settings))
    found = to_numpy(ssim_distance(x, y, **settings))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    first = [np.moveaxis(images, -1, 1) for images in (x, y)]
    found = ssim_distance(*first, data_format="channels_first", **settings)
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("settings", SETTINGS[1:], ids=str)
def test_ms_ssim_equals_the_numpy_twin(pair, weights, settings):
    settings = {"filter_size": 5, **settings}
    expected = reference.ms_ssim_loss(*pair, weights, **twin(settings))
    found = to_numpy(ms_ssim_distance(*pair, weights, **settings))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    first = [np.moveaxis(images, -1, 1) for images in pair]
    found = ms_ssim_distance(
        *first, weights, data_format="channels_first", **settings
    )
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_photographs_are_as_exact_as_float32_allows(distortion):
    photo, worse = distorted(distortion)
    for x in worse:
        np.testing.assert_allclose(
            to_numpy(ssim_distance(photo, x)),
            1 - reference.ssim(photo, x),
            atol=2e-6,
        )
        np.testing.assert_allclose(
            to_numpy(ms_ssim_distance(photo, x)),
            reference.ms_ssim_loss(photo, x),
            atol=1e-6,
        )


@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_equals_scikit_image(distortion):
    from skimage.metrics import structural_similarity

    photo, worse = distorted(distortion)
    for x in worse:
        expected = structural_similarity(
            photo[0].astype("float64"),
            x[0].astype("float64"),
            gaussian_weights=True,
            use_sample_covariance=False,
            sigma=1.5,
            data_range=1,
            channel_axis=-1,
        )
        np.testing.assert_allclose(
            1 - to_numpy(ssim_distance(photo, x)), [expected], atol=2e-6
        )


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("distortion", ["blur", "noise"])
def test_equals_tensorflow_but_for_its_rounding(distortion):
    """TensorFlow's SSIM is up to 2e-5 from the same sum in float64."""
    import tensorflow as tf

    photo, worse = distorted(distortion)
    for x in worse:
        images = tf.constant(photo), tf.constant(x)
        np.testing.assert_allclose(
            1 - ssim_distance(photo, x),
            tf.image.ssim(*images, max_val=1),
            atol=2e-5,
        )
        np.testing.assert_allclose(
            1 - ms_ssim_distance(photo, x),
            tf.image.ssim_multiscale(*images, max_val=1),
            atol=1e-5,
        )


@pytest.mark.tensorflow_only
def test_equals_tensorflow_at_other_settings(pair):
    import tensorflow as tf

    images = [tf.constant(x) for x in pair]
    settings = {"filter_size": 4, "filter_sigma": 0.9, "k1": 0.1, "k2": 0.3}
    np.testing.assert_allclose(
        1 - ssim_distance(*pair, **settings),
        tf.image.ssim(*images, max_val=1, **settings),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        1 - ms_ssim_distance(*pair, (0.3, 0.2, 0.9), **settings),
        tf.image.ssim_multiscale(
            *images, max_val=1, power_factors=(0.3, 0.2, 0.9), **settings
        ),
        atol=1e-6,
    )


def test_digits_are_left_where_images_are_almost_equal():
    """One minus a similarity in float32 is off by 6e-8 at best."""
    photo = astronaut(64)
    noise = np.random.default_rng(0).normal(size=photo.shape)
    x = (photo + 1e-5 * noise).astype("float32")
    expected = 1 - reference.ssim(photo, x)
    assert 0 < expected[0] < 1e-7
    found = to_numpy(ssim_distance(photo, x))
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    weights = (0.4, 0.6)
    expected = reference.ms_ssim_loss(photo, x, weights)
    assert 0 < expected[0] < 1e-7
    found = to_numpy(ms_ssim_distance(photo, x, weights))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_bright_and_flat_images_do_not_lose_their_variance():
    """Where mean squares less squared means are off by more than they are."""
    noise = np.random.default_rng(0).normal(size=(1, 32, 32, 1))
    y = (0.99 + 1e-4 * noise).astype("float32")
    x = np.full_like(y, 0.99)
    expected = 1 - reference.ssim(x, y, k2=1e-4)
    found = to_numpy(ssim_distance(x, y, k2=1e-4))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("size", [1, 4, 11])
def test_window(size):
    window = gaussian_window(size, 1.5)
    np.testing.assert_allclose(
        np.outer(window, window), reference.window(size, 1.5), rtol=1e-12
    )


def test_the_official_weights():
    assert MS_SSIM_WEIGHTS == (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    assert abs(sum(MS_SSIM_WEIGHTS) - 1) < 2e-4


# Terms that are negative.


@pytest.mark.once
def test_a_negative_term_costs_and_pulls():
    x = torture.picture(24, 24, 1)[:1]
    y = 1 - x
    weights = (0.3, 0.7)
    _, structure = reference.terms(x, y, size=5)
    assert structure < 0
    distance = float(
        ms_ssim_distance(x, y, weights, filter_size=5, epsilon=0.01)[0]
    )
    expected = reference.ms_ssim_loss(x, y, weights, epsilon=0.01, size=5)
    np.testing.assert_allclose(distance, expected[0], rtol=1e-5)
    assert 1 < distance < 2
    (gradient,) = checks.gradients(
        lambda y: ops.sum(ms_ssim_distance(x, y, weights, filter_size=5)), y
    )
    assert np.all(np.isfinite(gradient))
    # As steep as where all terms are positive.
    (other,) = checks.gradients(
        lambda y: ops.sum(ms_ssim_distance(x, y, weights, filter_size=5)),
        (
            0.7 * x + 0.3 * np.random.default_rng(0).uniform(0, 1, x.shape)
        ).astype("float32"),
    )
    assert np.linalg.norm(gradient) > 0.1 * np.linalg.norm(other)


def test_descent_leads_out_of_the_negative():
    x = torture.picture(24, 24, 1)[:1]
    y = 1 - x

    def distance(y):
        return ops.sum(ms_ssim_distance(x, y, (0.3, 0.7), filter_size=5))

    for _ in range(25):
        (gradient,) = checks.gradients(distance, y)
        y = y - 0.05 * gradient / np.max(np.abs(gradient))
    assert float(distance(ops.convert_to_tensor(y))) < 0.6


@pytest.mark.tensorflow_only
def test_tensorflow_gives_nan_there():
    """Why this is not `tf.image.ssim_multiscale`."""
    import tensorflow as tf

    x = torture.picture(24, 24, 1)

    def gradient(function):
        (found,) = checks.gradients(function, 1 - x)
        return found

    assert np.any(
        np.isnan(
            gradient(
                lambda y: tf.reduce_sum(
                    tf.image.ssim_multiscale(
                        tf.constant(x), y, 1, (0.3, 0.7), filter_size=5
                    )
                )
            )
        )
    )


def test_terms_above_epsilon_are_left_as_they_are(pair):
    settings = {"filter_size": 5, "weights": (0.4, 0.6)}
    fine = to_numpy(ms_ssim_distance(*pair, epsilon=1e-6, **settings))
    usual = to_numpy(ms_ssim_distance(*pair, epsilon=1e-3, **settings))
    np.testing.assert_allclose(usual, fine, rtol=1e-6)


# Gradients.


@pytest.mark.parametrize("settings", sample(SETTINGS, 2), ids=str)
def test_finite_differences_of_ssim(pair, settings):
    x, y = (images[:1, :14, :15, :2] for images in pair)
    for inputs in ((x, y), (x, 1 - x)):
        checks.check_finite_differences(
            lambda x, y: ops.sum(ssim_distance(x, y, **settings)),
            *inputs,
            step=2e-3,
        )


@pytest.mark.parametrize("weights", sample([(w,) for w in WEIGHTS], 2), ids=str)
def test_finite_differences_of_ms_ssim(pair, weights):
    x, y = (images[:1, ..., :2] for images in pair)
    for inputs in ((x, y), (x, 1 - x)):
        checks.check_finite_differences(
            lambda x, y: ops.sum(
                ms_ssim_distance(x, y, weights, filter_size=5, epsilon=0.01)
            ),
            *inputs,
            step=2e-3,
        )


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS[1:3], ids=str)
def test_nothing_that_is_not_finite(settings):
    """In float32; the losses on top are tested in shorter types as well."""

    def both(x, y):
        return ops.sum(
            ssim_distance(x, y, **settings)
            + ms_ssim_distance(x, y, (0.2, 0.3), **settings)
        )

    torture.check_finite(both, 14, 13, dtypes=("float32",))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("shape", [(None, None, None, 3), (None,) * 4])
@pytest.mark.parametrize("jit_compile", [False, rarely(True)])
def test_unknown_sizes_in_a_tensorflow_graph(pair, shape, jit_compile):
    import tensorflow as tf

    spec = tf.TensorSpec(shape)

    @tf.function(input_signature=[spec, spec], jit_compile=jit_compile)
    def distances(x, y):
        return (
            ssim_distance(x, y),
            ms_ssim_distance(x, y, (0.4, 0.6), filter_size=5),
        )

    for height in (26, 27):
        x, y = (images[:, :height] for images in pair)
        one, several = distances(x, y)
        np.testing.assert_allclose(one, ssim_distance(x, y), rtol=1e-5)
        np.testing.assert_allclose(
            several,
            ms_ssim_distance(x, y, (0.4, 0.6), filter_size=5),
            rtol=1e-5,
        )


# Sizes.


@pytest.mark.parametrize("filter_size", [1, 4, 11])
@pytest.mark.parametrize("scales", [1, 3, 5])
def test_the_smallest_size_just_fits(filter_size, scales):
    size = smallest_size(filter_size, scales)
    x = np.zeros((1, size, size + 1, 1), "float32")
    weights = (1 / scales,) * scales
    found = ms_ssim_distance(x, x + 0.1, weights, filter_size=filter_size)
    assert np.all(np.isfinite(to_numpy(found)))
    if size > 1:
        with pytest.raises(ValueError, match=f"at least {size} pixels high"):
            ms_ssim_distance(
                x[:, 1:], x[:, 1:], weights, filter_size=filter_size
            )


@pytest.mark.parametrize(
    ("shape", "data_format", "message"),
    [
        (
            (1, 100, 200, 3),
            "channels_last",
            r"^ms_ssim_distance needs images at least 161 pixels high and "
            r"wide for a window of 11 pixels at 5 scales. Pass larger images, "
            r"`weights` of at most 4 scales, or a smaller `filter_size`. "
            r"Received: images of shape \(1, 100, 200, 3\) in 'channels_last'$",
        ),
        (
            (1, 3, 200, 10),
            "channels_first",
            r"images, or a smaller `filter_size`",
        ),
        ((1, 3, 20, 200), "channels_first", r"`weights` of at most 1 scales"),
    ],
)
def test_small_images_are_refused(shape, data_format, message):
    x = np.zeros(shape, "float32")
    with pytest.raises(ValueError, match=message):
        ms_ssim_distance(x, x, data_format=data_format)
    with pytest.raises(ValueError, match=r"`data_format`.*Received: data_fo"):
        ssim_distance(x, x, data_format="last")


def test_of_one_scale_the_window_alone_has_to_fit():
    settings = {"filter_size": 7, "data_format": "channels_last"}
    check_image_size("it", (1, 7, 7, 3), **settings)
    with pytest.raises(ValueError, match=r"it .*Received: .*\(1, 6, 7, 3\)"):
        check_image_size("it", (1, 6, 7, 3), **settings)


@pytest.mark.tensorflow_only
def test_float64(pair):
    pair = [x.astype("float64") for x in pair]
    found = ssim_distance(*pair)
    assert keras.backend.standardize_dtype(found.dtype) == "float64"
    np.testing.assert_allclose(found, 1 - reference.ssim(*pair), rtol=1e-12)


@pytest.mark.parametrize(
    "function", [ssim_distance, ms_ssim_distance, ssim_map]
)
def test_defaults_are_those_of_the_publication(function):
    expected = dict(filter_size=11, filter_sigma=1.5, k1=0.01, k2=0.03)
    if function is ms_ssim_distance:
        expected["epsilon"] = 1e-3
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in expected} == expected


def test_a_map_needs_images_as_large_as_the_window(rng):
    x, y = rng.uniform(0, 1, (2, 1, 7, 8, 3)).astype("float32")
    assert tuple(ssim_map(x, y, filter_size=7).shape) == (1, 7, 8)
    with pytest.raises(ValueError, match="at least 8 pixels"):
        ssim_map(x, y, filter_size=8)
