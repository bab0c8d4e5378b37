import keras
import numpy as np
import pytest

from keras_perceptual.features import FeatureExtractor
from keras_perceptual.losses.lpips import TAPS
from keras_perceptual.ops.windows import HALO, SMALLEST, STEP, fold_windows

# Less than a window, one and a bit, not a multiple of anything, and several.
SIDES = [40, 256, 257, 300, 511, 703]


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def image(height, width):
    """Returns an image of which each pixel tells its row and its column."""
    rows, columns = np.indices((height, width), dtype="float32")
    return keras.ops.convert_to_tensor(np.stack([rows, columns], -1)[None])


@pytest.mark.parametrize("stride", [1, 4, 16])
@pytest.mark.parametrize("size", [SMALLEST, 300, 512])
@pytest.mark.parametrize("side", SIDES)
def test_every_position_belongs_to_one_window(side, size, stride):
    """A layer that keeps every so many pixels is put together again."""
    if keras.backend.backend() == "jax":
        pytest.skip("has no values inside a loop")
    whole = numpy(image(side, 48))[0, ::stride, ::stride, 0]
    found = np.zeros_like(whole)
    owners = np.zeros_like(whole)
    sides = []

    def paste(state, windows, own):
        window = numpy(windows[0])[0, :, :, 0]
        start = int(window[0, 0])
        sides.append((start, start + len(window)))
        kept = window[::stride, ::stride]
        owned = numpy(own(*kept.shape, stride))[0]
        rows = slice(start // stride, start // stride + len(kept))
        found[rows] += owned * kept
        owners[rows] += owned
        return state

    x = image(side, 48)
    fold_windows(paste, keras.ops.zeros(()), (x, x), size)
    np.testing.assert_array_equal(owners, 1)
    np.testing.assert_array_equal(found, whole)
    assert sides[-1][1] == side
    assert all(start % STEP == 0 for start, _ in sides)
    (length,) = {end - start for start, end in sides}
    assert length <= size
    assert (len(sides) == 1) == (side <= size)


@pytest.mark.parametrize(
    ("height", "width"), [(300, 40), (257, 315), (503, 290)]
)
def test_sums_over_windows_are_sums_over_the_image(height, width):
    x = image(height, width)

    def add(state, windows, own):
        rows, columns = windows[0].shape[1:3]
        owned = own(rows, columns, 1)
        total, count = state
        return (
            total + keras.ops.sum(windows[0][..., 0] * owned),
            count + keras.ops.sum(owned),
        )

    zero = keras.ops.zeros(())
    total, count = fold_windows(add, (zero, zero), (x, x), SMALLEST)
    assert float(count) == height * width
    assert float(total) == pytest.approx(
        height * (height - 1) / 2 * width, rel=1e-5
    )


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("side", SIDES)
def test_sizes_that_are_not_known_while_tracing(side):
    import tensorflow as tf

    def count(x):
        def add(state, windows, own):
            _, rows, columns, _ = keras.ops.shape(windows[0])
            return state + keras.ops.sum(own(rows, columns, 1))

        return fold_windows(add, keras.ops.zeros(()), (x, x), SMALLEST)

    traced = tf.function(
        count, input_signature=[tf.TensorSpec((None, None, None, 2))]
    )
    assert float(traced(image(side, 44))) == side * 44


@pytest.mark.parametrize(
    ("backbone", "pooling"),
    [("alexnet", "max"), ("vgg16", "max"), ("vgg16", "l2")],
)
def test_no_layer_sees_further_than_the_halo(backbone, pooling, rng):
    extractor = FeatureExtractor(
        backbone, list(TAPS[backbone]), pooling=pooling
    )
    start, end = HALO + STEP, 3 * HALO + 3 * STEP
    picture = rng.uniform(size=(1, end + start, 32, 3)).astype("float32")
    other = rng.uniform(size=picture.shape).astype("float32")
    other[:, start:end] = picture[:, start:end]
    expected, found = extractor(picture), extractor(other)
    for tap, stride in TAPS[backbone].items():
        differs = np.any(numpy(found[tap]) != numpy(expected[tap]), (0, 2, 3))
        places = stride * np.flatnonzero(differs)
        inside = places[(start <= places) & (places < end)]
        assert not np.any((start + HALO <= inside) & (inside < end - HALO))
    # The deepest layer makes some use of it.
    assert np.any((start + HALO / 2 < inside) & (inside < end - HALO / 2))
