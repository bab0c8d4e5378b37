import keras
import numpy as np
from keras import layers, ops

from keras_perceptual.gradients.recorder import loop_steps


def make_model():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, name="out")])
    return model, lambda x: ops.mean(ops.log(model(x)))


def test_a_batch_comes_back_with_the_tensors_it_had():
    array = np.ones((2, 3), "float32")
    batch = {"x": (ops.ones((2, 3)), array), "mask": None, "n": [ops.ones(())]}
    tensors = loop_steps.which_are_tensors(batch)
    assert tensors == [True, False, True]
    arrays = keras.tree.map_structure(
        lambda leaf: None if leaf is None else np.asarray(leaf, "float16"),
        batch,
    )
    again = loop_steps.with_tensors(arrays, tensors)
    assert loop_steps.which_are_tensors(again) == tensors
    assert again["x"][1] is arrays["x"][1]
    assert again["mask"] is None
    assert keras.backend.standardize_dtype(again["x"][0].dtype) == "float16"


def test_a_hash_of_the_loss_and_of_the_gradients():
    model, function = make_model()
    model.set_weights([np.ones((2, 1)), np.ones(1)])
    batch = np.ones((4, 2), "float32")
    loss, digest = loop_steps.take(model, function, batch)
    assert loss == np.float32(np.log(3))
    assert loop_steps.take(model, function, batch) == (loss, digest)
    kernel = model.layers[0].kernel
    # The loss stays the same here, and its gradient does not.
    far = np.array([[2.0, 0.0]] * 4, "float32")
    value, other = loop_steps.take(model, function, far)
    assert value == loss
    assert other != digest
    with loop_steps.standing_at(model, {id(kernel): 2 * np.ones((2, 1))}):
        assert loop_steps.take(model, function, batch)[0] == np.float32(
            np.log(5)
        )
    np.testing.assert_array_equal(np.array(kernel), np.ones((2, 1)))
    assert [state.shape for state in loop_steps.state_of(model)] == [
        (2, 1),
        (1,),
    ]


def test_no_sample_is_named_where_all_break_the_step():
    model, function = make_model()
    model.set_weights([np.ones((2, 1)), np.zeros(1)])
    batch = np.ones((4, 2), "float32")
    batch[1] = -1
    found = loop_steps.find_blame(model, function, batch)
    assert found.samples == (1,)
    assert found.cause.places[0].function == "keras.ops.log"
    assert loop_steps.find_blame(model, function, -np.abs(batch)).samples == ()
