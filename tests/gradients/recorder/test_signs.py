"""Signs are told once, when they show."""

import numpy as np
from readings_by_hand import readings_of

from keras_perceptual.gradients.recorder.signs import Signs


def test_a_sign_is_new_once():
    norm = np.ones((12, 2))
    norm[-1, 1] = 2000.0
    readings = readings_of(norm)
    signs = Signs(["exploding", "died"], readings)
    assert signs.look() == {"exploding": ["v1"]}
    assert signs.look() == {}
    assert signs.take() == {"exploding": ["v1"]}
    assert signs.take() == {}
    # A rule that is not among those chosen.
    assert Signs(["died"], readings).look() == {}
