import sys

import checks
import keras
import numpy as np
import pytest
from color_tables import grid

from keras_perceptual import LookupColorLayer, TableSmoothness
from keras_perceptual.io import ColorTable, apply_table, fit_table, table_fit

pytest.importorskip("scipy")

MIX = np.array([[0.9, 0.05, 0.05], [0.1, 0.85, 0.05], [0, 0.1, 0.9]])


def look(x):
    return x ** [0.8, 1, 1.2] @ MIX


def photo(rng, count=20_000):
    """Colors near the grays, as photographs have them."""
    base = rng.uniform(0, 1, (count, 1)) ** 1.5
    return np.clip(base + rng.normal(size=(count, 3)) * 0.08, 0, 1)


@pytest.mark.parametrize("size", [2, 3, 5, 9, 20])
def test_a_table_is_found_again(size, rng):
    table = ColorTable(cube=rng.uniform(0, 1, (size,) * 3 + (3,)))
    before = rng.uniform(0, 1, (100_000, 3))
    found = fit_table(before, apply_table(table, before), size, 0)
    np.testing.assert_allclose(found.cube, table.cube, atol=1e-3)
    assert found.title == "Fitted with a residual of 0.00000"


@pytest.mark.parametrize("size", [3, 9, 17])
def test_the_residual_is_said(size, rng):
    before = photo(rng).reshape(100, 200, 3)
    after = look(before) + rng.normal(size=before.shape) * 0.01
    table = fit_table(before, after, size)
    error = np.sqrt(np.mean((apply_table(table, before) - after) ** 2))
    assert table.title == f"Fitted with a residual of {error:.5f}"
    assert 0.009 < error < (0.05 if size == 3 else 0.011)


def test_what_is_not_seen_is_led_on(rng):
    """A straight look is found from a few of its colors."""
    before = 0.4 + 0.2 * rng.uniform(0, 1, (5000, 3))
    table = fit_table(before, before @ MIX, 9)
    np.testing.assert_allclose(table.cube, grid(9) @ MIX, atol=5e-3)


def test_without_smoothness_it_stays_as_it_was():
    before = np.full((10, 3), [0.1, 0.6, 0.3])
    table = fit_table(before, before + 0.1, 6, 0)
    changed = (abs(table.cube - grid(6)) > 1e-6).any(axis=-1)
    assert changed.sum() <= 8 and changed[0, 3, 1]
    np.testing.assert_allclose(
        apply_table(table, before), before + 0.1, atol=1e-5
    )


def test_one_color_and_grays_are_enough(rng):
    gray = np.repeat(np.linspace(0, 1, 99)[:, None], 3, axis=1)
    for before in (gray, gray[:1], gray[5:6]):
        table = fit_table(before, before**2, 17)
        found = apply_table(table, before)
        np.testing.assert_allclose(found, before**2, atol=5e-3)
        assert abs(table.cube).max() < 10


@pytest.mark.slow
@pytest.mark.parametrize("smoothness", [1e-4, 1e-2])
def test_training_a_layer_finds_nothing_better(smoothness, rng):
    before = photo(rng, 500)[None].astype("float32")
    after = look(before).astype("float32")
    table = fit_table(before, after, 4, smoothness)
    layer = LookupColorLayer(
        4,
        table_regularizer=TableSmoothness(smoothness, order=2),
        check_range="off",
    )
    model = keras.Sequential([keras.Input((None, 3)), layer])
    model.compile(keras.optimizers.Adam(0.005), "mse")
    start = model.evaluate(before, after, verbose=0)
    # Many steps, in one epoch.
    steps = [np.repeat(x, 300, axis=0) for x in (before, after)]
    model.fit(*steps, batch_size=1, verbose=0)
    theirs = model.evaluate(before, after, verbose=0)
    learned = keras.ops.convert_to_numpy(layer(before))
    layer.set_table(table.cube)
    ours = model.evaluate(before, after, verbose=0)
    assert ours <= theirs * (1 + 1e-3) < start / 10
    # Where colors are, the two are the same.
    found = apply_table(table, before)
    np.testing.assert_allclose(found, learned, atol=0.02)


def test_integers_are_pictures_too(rng):
    before = photo(rng, 1000)
    expected = fit_table(before, before @ MIX, 4)
    for white in (255, 65535):
        kind = "uint8" if white == 255 else "uint16"
        pair = [np.rint(x * white).astype(kind) for x in (before, before @ MIX)]
        found = fit_table(*pair, 4)
        np.testing.assert_allclose(found.cube, expected.cube, atol=0.05)


def test_of_many_pixels_some_are_taken(rng, monkeypatch):
    before = photo(rng, 3000)
    expected = fit_table(before[::3], before[::3] @ MIX, 4)
    monkeypatch.setattr(table_fit, "MOST_PIXELS", 1000)
    found = fit_table(before, before @ MIX, 4)
    np.testing.assert_array_equal(found.cube, expected.cube)


def test_parts_make_no_difference(rng, monkeypatch):
    before = photo(rng, 1000)
    expected = fit_table(before, before @ MIX, 5)
    monkeypatch.setattr(table_fit, "PART", 70)
    found = fit_table(before, before @ MIX, 5)
    np.testing.assert_allclose(found.cube, expected.cube, atol=1e-5)


X = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, X[:1]), r"two arrays of the same.*float64 \(2, 3\) and float64"),
        ((X[:, :2], X[:, :2]), "same shape"),
        ((X[:0], X[:0]), "same shape"),
        ((X, X.astype("uint8")), "both of integers"),
        ((X.astype("uint8"), X.astype("uint16")), "both of integers"),
        ((X.astype("uint32"), X.astype("uint32")), "8 or 16 bits"),
        ((X.astype(int), X.astype(int)), "8 or 16 bits"),
        ((X, X * np.nan), r"finite.*with NaN or infinity$"),
        ((X, X, 1), r"from 2 to 256.*size=1$"),
        ((X, X, 257), r"from 2 to 256.*size=257$"),
        ((X, X, True), r"whole number.*size=True$"),
        ((X, X, 4, -1), r"at least 0.*smoothness=-1$"),
        ((X, X, 4, np.nan), r"finite number.*smoothness=nan$"),
        ((X, X, 4, "a"), r"finite number.*smoothness='a'$"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"^fit_table needs .*{message}"):
        fit_table(*arguments)


def test_without_scipy_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"pip install scipy.*Received: "):
        fit_table(X, X)


def test_defaults_are_the_documented_ones():
    checks.check_defaults(fit_table)
