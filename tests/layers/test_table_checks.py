import numpy as np
import pytest

from keras_perceptual.layers import LookupColorLayer

NARROW = ((0.1, 0.1, 0.1), (0.8, 0.8, 0.8))


def test_entries_that_do_not_fit():
    layer, table = LookupColorLayer(4), np.ones((4, 4, 4, 3))
    with pytest.raises(
        ValueError, match=r"\(4, 4, 4, 3\), indexed \[r, g, b\].*\(64, 3\)"
    ):
        layer.set_table(table.reshape(64, 3))
    table[0, 1, 2] = np.nan
    with pytest.raises(ValueError, match=r"finite.*Received.*3 entries"):
        layer.set_table(table)
    with pytest.raises(ValueError, match=r"shape \(4, 3\)\. .*\(3, 4\)"):
        LookupColorLayer(4, 1).set_table(np.ones((3, 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"curves_domain": NARROW}, r"no curves whose.*curves_domain=.*size=N"),
        ({"dimensions": 1, "cube_domain": NARROW}, r"no cube whose domain"),
        ({"cube_domain": (0, 1)}, r"^LookupColorLayer needs `cube_domain`"),
    ],
    ids=str,
)
def test_domains_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        LookupColorLayer(4, **arguments)


@pytest.mark.parametrize(
    ("data_format", "shape"),
    [
        ("channels_last", (2, 4, 4, 2)),
        ("channels_last", (2, 3, 4, 5)),
        ("channels_first", (2, 5, 4, 3)),
        ("channels_first", (4, 3)),
    ],
)
def test_wrong_channels(data_format, shape):
    layer = LookupColorLayer(3, data_format=data_format)
    message = rf"three channels.*Received: images of shape \({shape[0]}"
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape, "float32"))
    with pytest.raises(ValueError, match=message):
        layer.compute_output_shape(shape)
    layer.build((None, 3, 4, 3))
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape, "float32"))


def test_shapers_that_cannot_be():
    with pytest.raises(ValueError, match=r"before a cube.*dimensions=1"):
        LookupColorLayer(4, 1, shaper_size=4)
    with pytest.raises(ValueError, match=r"no shaper for a reg.*Received: 'l2"):
        LookupColorLayer(4, shaper_regularizer="l2")
    with pytest.raises(ValueError, match=r"`shaper_size`.*Received: shaper_s"):
        LookupColorLayer(4, shaper_size=1)
    with pytest.raises(ValueError, match=r"no shaper to replace"):
        LookupColorLayer(2).set_table(np.zeros((2, 2, 2, 3)), np.zeros((2, 3)))
    layer = LookupColorLayer(2, shaper_size=4)
    with pytest.raises(ValueError, match=r"shaper of shape \(4, 3\)"):
        layer.set_table(np.zeros((2, 2, 2, 3)), np.zeros((2, 3)))
