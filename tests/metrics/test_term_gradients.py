import numpy as np
import pytest
from keras import ops

from keras_perceptual.metrics.term_gradients import TermGradients

NAN = float("nan")


def products_of(*gradients):
    gradients = np.array(gradients, "float32")
    return ops.array(gradients @ gradients.T)


def of_values(*values):
    return dict(zip("ab", map(ops.array, values), strict=True))


@pytest.fixture
def shown():
    return TermGradients(["a", "b"])


def test_shares_and_cosines_are_means_over_finite_batches(shown):
    assert not shown.is_known()
    shown.update_gradients(products_of([3, 0], [0, 1]))
    shown.update_gradients(products_of([1, 0], [1, 0]))
    shown.update_gradients(products_of([1, 0], [NAN, 0]))
    assert shown.is_known()
    found = {name: float(value) for name, value in shown.result().items()}
    assert found == pytest.approx(
        {"a_share": 0.625, "b_share": 0.375, "a_b_cosine": 0.5}
    )
    shown.reset_state()
    assert not shown.is_known()
    assert np.isnan(float(shown.result()["a_share"]))


def test_terms_that_agree_or_are_at_right_angles_are_no_matter(shown):
    assert list(shown.complaints()) == []
    shown.update_gradients(products_of([1, 0], [0, 1]))
    shown.update_state(of_values(1.0, 2.0))
    assert list(shown.complaints()) == []


def test_terms_that_oppose_each_other_are_told(shown):
    shown.update_gradients(products_of([1, 0.1], [-2, 0.1]))
    ((subject, sentence),) = shown.complaints()
    assert subject == "a b"
    assert "'a' and 'b' oppose each other (their cosine is -0.99)" in sentence


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        # What broke the weights, and then all values, comes first.
        ([((1, NAN), (1, NAN)), ((NAN, NAN), (NAN, NAN))], "value of 'b' was"),
        ([((1, 1), (NAN, 1)), ((NAN, NAN), (NAN, NAN))], "gradient of 'a' was"),
        ([((1, 1), (1, NAN))], "gradient of 'b' was"),
        ([((1, float("inf")), (1, 1))], "value of 'b' was"),
        ([((NAN, NAN), (NAN, NAN))], "all terms became NaN"),
        ([((1, 1), (1, 1))], None),
    ],
)
@pytest.mark.parametrize("gradients_first", [False, True])
def test_what_was_not_finite_first(batches, told, gradients_first, shown):
    """Backends differ in whether gradients come before the values."""
    for values, slopes in batches:
        steps = [
            lambda v=values: shown.update_state(of_values(*map(float, v))),
            lambda s=slopes: shown.update_gradients(
                products_of([s[0], 0], [0, s[1]])
            ),
        ]
        for step in steps[:: -1 if gradients_first else 1]:
            step()
    found = [text for subject, text in shown.complaints()]
    assert len(found) == (told is not None)
    assert all(told in text for text in found)


def test_in_a_trace_the_last_step_says_whether_gradients_come(monkeypatch):
    from keras_perceptual.metrics import term_gradients

    shown = TermGradients(["a", "b"])
    shown.update_gradients(products_of([1, 0], [0, 1]))
    monkeypatch.setattr(term_gradients._backend, "has_values", lambda x: False)
    assert shown.is_known() and not list(shown.complaints())
    shown.end_step()
    assert shown.is_known()
    shown.end_step()
    assert not shown.is_known()
