import checks
import keras
import numpy as np
import pytest

from keras_perceptual.ops.table_mixing import mix_tables


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3, 3)], ids=str)
@pytest.mark.parametrize("count", [1, 3])
def test_equals_a_tensor_product(rng, shape, count):
    tables = rng.uniform(0, 1, (count, *shape)).astype("float32")
    weights = rng.normal(size=(4, count)).astype("float32")
    found = keras.ops.convert_to_numpy(
        mix_tables([keras.ops.convert_to_tensor(t) for t in tables], weights)
    )
    expected = np.tensordot(weights.astype("float64"), tables, axes=1)
    assert found.shape == (4, *shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_gradients_of_tables_and_weights(rng):
    tables = rng.uniform(0, 1, (3, 2, 2, 2, 3)).astype("float32")
    weights = rng.normal(size=(2, 3)).astype("float32")
    above = rng.normal(size=(2, 2, 2, 2, 3)).astype("float32")

    def total(tables, weights):
        mixed = mix_tables([tables[i] for i in range(3)], weights)
        return keras.ops.sum(mixed * keras.ops.convert_to_tensor(above))

    found = checks.gradients(total, tables, weights)
    np.testing.assert_allclose(
        found[0], np.einsum("bi,b...->i...", weights, above), atol=1e-5
    )
    np.testing.assert_allclose(
        found[1], np.einsum("irgbc,nrgbc->ni", tables, above), atol=1e-5
    )


def test_one_and_zeros_change_no_bit(rng):
    tables = rng.uniform(0, 1, (3, 9, 3)).astype("float32")
    weights = np.array([[0, 1, 0]], "float32")
    found = mix_tables(list(tables), keras.ops.convert_to_tensor(weights))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(found)[0], tables[1]
    )
