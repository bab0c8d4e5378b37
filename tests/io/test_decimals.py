from fractions import Fraction

import numpy as np
import pytest

from keras_perceptual.io.decimals import nearest_float32, shortest_text

LARGEST = float(np.finfo("float32").max)


def between(below, share=Fraction(1, 2), more=Fraction(0)):
    """Returns decimal text of what lies between a float32 and the next."""
    below = np.float32(below)
    above = np.nextafter(below, np.float32(np.inf))
    low, high = Fraction(float(below)), Fraction(float(above))
    exact = low + share * (high - low) + more
    digits = exact * 10**200
    assert digits.denominator == 1
    return b"%de-200" % digits.numerator


@pytest.mark.parametrize(
    "below", [1.0, 1 / 3, 16777216.0, 1e-30, 2.0**-126, 1e-40, 2.0**-148]
)
def test_texts_close_to_halfway_are_rounded_once(below):
    below = np.float32(below)
    above = np.nextafter(below, np.float32(np.inf))
    even = next(f for f in (below, above) if f.view("uint32") % 2 == 0)
    little = Fraction(1, 10**200)
    texts = [between(below, more=more) for more in (-little, 0, little)]
    found = nearest_float32(texts)
    assert found.dtype == np.float32
    assert found.tolist() == [below, even, above]
    negative = nearest_float32([b"-" + text for text in texts])
    assert negative.tolist() == [-below, -even, -above]


def test_rounding_twice_would_be_wrong():
    """The case above can fail: NumPy alone is wrong there."""
    text = between(1.0, more=Fraction(1, 10**200))
    assert np.float32(float(text)) != nearest_float32([text])[0]


def test_the_last_finite_value_ends_halfway_to_the_next():
    step = Fraction(2) ** 103
    end = Fraction(LARGEST) + step
    texts = [b"%d" % (end - 1), b"%d" % end, b"1e39", b"-1e400", b"1e-400"]
    found = nearest_float32(texts).tolist()
    assert found == [LARGEST, np.inf, np.inf, -np.inf, 0.0]


def test_random_texts_are_rounded_as_fractions_are(rng):
    texts = [
        b"%.*e" % (int(rng.integers(0, 30)), value)
        for value in rng.normal(size=500) * 10.0 ** rng.integers(-46, 30, 500)
    ]
    for text, found in zip(texts, nearest_float32(texts), strict=True):
        exact = Fraction(text.decode())
        neighbors = [
            Fraction(float(np.nextafter(found, np.float32(side))))
            for side in (-np.inf, np.inf)
        ]
        error = abs(Fraction(float(found)) - exact)
        assert error <= min(abs(n - exact) for n in neighbors)


def test_what_is_no_number_is_an_error():
    with pytest.raises(ValueError):
        nearest_float32([b"1", b"-"])


def test_text_is_short_and_gives_the_same_bits(rng):
    bits = rng.integers(0, 2**32, 3000, dtype="uint32")
    values = bits.view("float32")
    values = values[np.isfinite(values)]
    values = values[: len(values) // 3 * 3].reshape(-1, 3)
    text = shortest_text(values)
    assert text.count(b"\n") == len(values)
    found = nearest_float32(text.split())
    assert found.tobytes() == values.tobytes()


def test_text_of_some_values():
    values = np.array([[0.1, -0.0, 1], [1e-45, 2.0**24, 1 / 3]], "float32")
    # Versions of NumPy differ in where the exponent begins.
    assert shortest_text(values) in [
        b"0.1 -0.0 1.0\n1e-45 %s 0.33333334\n" % large
        for large in (b"1.6777216e+07", b"16777216.0")
    ]


def test_options_of_printing_change_nothing():
    values = np.array([[1 / 3]], "float32")
    with np.printoptions(legacy="1.13", precision=2):
        assert shortest_text(values) == b"0.33333334\n"


def test_settings_for_errors_change_nothing():
    with np.errstate(all="raise"):
        assert nearest_float32([b"1e39", b"1e-44"])[0] == np.inf
