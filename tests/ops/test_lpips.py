import keras
import numpy as np
from checks import check_finite_differences

from keras_perceptual.ops.feature_distances import unit_normalize
from keras_perceptual.ops.lpips import lpips_distance, lpips_map


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def features(rng):
    return [rng.normal(size=(2, 3, 4, 5)).astype("float32") for _ in range(2)]


def unit(x):
    return unit_normalize(keras.ops.convert_to_tensor(x))


def test_weighs_the_squared_differences_of_the_channels(rng):
    x, y = features(rng)
    head = rng.uniform(size=5).astype("float32")
    expected = np.einsum("brcf,f->brc", (x.astype("float64") - y) ** 2, head)
    np.testing.assert_allclose(
        numpy(lpips_map(x, y, head)), expected, rtol=1e-5
    )


def test_distance_is_the_mean_of_the_map(rng):
    x, y = features(rng)
    head = rng.uniform(size=5).astype("float32")
    weights = rng.uniform(size=(2, 3, 4)).astype("float32")
    weights /= weights.sum((1, 2), keepdims=True)
    for arguments in [(), (head,)]:
        found = numpy(lpips_map(x, y, *arguments))
        np.testing.assert_allclose(
            numpy(lpips_distance(x, y, *arguments)),
            found.mean((1, 2)),
            rtol=1e-5,
        )
        head_or_none = arguments[0] if arguments else None
        np.testing.assert_allclose(
            numpy(lpips_distance(x, y, head_or_none, weights)),
            (weights * found).sum((1, 2)),
            rtol=1e-5,
        )


def test_without_a_head_it_is_two_minus_twice_the_cosine(rng):
    x, y = features(rng)
    cosine = np.sum(x * y, -1) / (
        np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    )
    np.testing.assert_allclose(
        numpy(lpips_map(unit(x), unit(y))),
        2 - 2 * cosine,
        rtol=1e-4,
    )


def test_gradients(rng):
    x, y = features(rng)
    head = rng.uniform(size=5).astype("float32")
    check_finite_differences(
        lambda y: keras.ops.sum(lpips_map(unit(x), unit(y), head)),
        y,
    )
