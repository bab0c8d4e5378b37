import checks
import keras
import numpy as np

from keras_perceptual import _backend


def test_arrays_and_eager_tensors_have_values():
    has_values = _backend.load("tensors").has_values
    assert has_values(np.zeros(2))
    assert has_values([1.0, 2.0])
    assert has_values(keras.ops.zeros(2))


def test_traced_tensors_have_none():
    has_values = _backend.load("tensors").has_values
    seen = []

    def look(x):
        seen.append(has_values(x))
        return x

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.function(look)(tf.zeros(2))
    elif keras.backend.backend() == "jax":
        import jax

        jax.jit(look)(keras.ops.zeros(2))
    else:
        import torch

        look(torch.zeros(2, device="meta"))
    assert seen == [False]


def test_clamp_has_the_slope_of_the_inside_at_the_ends():
    x = np.float32([-1.0, 0.0, 0.25, 1.0, 2.0])
    clamp = _backend.load("tensors").clamp
    found = clamp(keras.ops.convert_to_tensor(x), 0.0, 1.0)
    assert keras.ops.convert_to_numpy(found).tolist() == [0, 0, 0.25, 1, 1]
    (slope,) = checks.gradients(lambda x: keras.ops.sum(clamp(x, 0.0, 1.0)), x)
    assert slope.tolist() == [0, 1, 1, 1, 0]


def test_choose_takes_numbers_and_tensors():
    choose = _backend.load("tensors").choose
    condition = keras.ops.convert_to_tensor([True, False])
    for yes, no, dtype in ((0.1, [0.3, 0.7], "float32"), (5, [1, 2], "int32")):
        found = choose(condition, yes, keras.ops.convert_to_tensor(no, dtype))
        assert keras.backend.standardize_dtype(found.dtype) == dtype
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(found), np.array([yes, no[1]], dtype)
        )
    found = choose(condition, 5, 7)
    assert keras.ops.convert_to_numpy(found).tolist() == [5, 7]


def test_take_reads_numbers_and_rows_and_gives_their_gradient():
    take = _backend.load("tensors").take
    index = np.int32([[2, 0, 2], [1, 2, 1]])
    for table in (np.float32([1, 2, 3]), np.float32([[1, 2], [3, 4], [5, 6]])):
        found = take(
            keras.ops.convert_to_tensor(table),
            keras.ops.convert_to_tensor(index),
        )
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(found), table[index]
        )
        (slope,) = checks.gradients(
            lambda table: keras.ops.sum(
                take(table, keras.ops.convert_to_tensor(index))
            ),
            table,
        )
        times = np.float32([1, 2, 3]).reshape(3, *(1 for _ in table.shape[1:]))
        np.testing.assert_array_equal(
            slope, np.broadcast_to(times, table.shape)
        )


def test_only_traces_for_elsewhere_are_exported():
    is_exported = _backend.load("tensors").is_exported
    seen = []

    def look(x):
        seen.append(is_exported(x))
        return x * 2

    look(keras.ops.zeros(2))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.function(look)(tf.zeros(2))
        assert seen == [False, False]
        return
    if keras.backend.backend() == "jax":
        import jax

        jax.jit(look)(keras.ops.zeros(2))
        (size,) = jax.export.symbolic_shape("size")
        jax.eval_shape(look, jax.ShapeDtypeStruct((size,), "float32"))
    else:
        import torch

        class Look(torch.nn.Module):
            def forward(self, x):
                return look(x)

        look(torch.zeros(2, device="meta"))
        torch.export.export(Look(), (torch.zeros(2),))
    assert seen[:3] == [False, False, True]
