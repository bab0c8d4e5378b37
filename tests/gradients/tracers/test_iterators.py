"""Batches are taken before a step of TensorFlow, and given back."""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("is about TensorFlow alone", allow_module_level=True)

import tensorflow as tf

from keras_perceptual.gradients.tracers.tensorflow.iterators import (
    as_in_a_step,
    batches_again,
    take_ahead,
)


def numbers_of(batches):
    return [np.array(batch).tolist() for batch in batches]


@pytest.mark.parametrize("native", [True, False])
def test_the_step_still_has_the_batches(native):
    dataset = tf.data.Dataset.range(5).batch(2)
    iterator = iter(dataset if native else list(dataset))
    batches, (given,) = take_ahead((iterator,), 2)
    assert numbers_of(batches) == numbers_of(given) == [[0, 1], [2, 3]]
    batches, (given,) = take_ahead((iterator,), 2)
    assert numbers_of(batches) == numbers_of(given) == [[4]]


def test_the_trainer_sees_that_there_are_no_more():
    arguments = (iter([]),)
    batches, given = take_ahead(arguments, 2)
    assert batches == [] and given is arguments


def test_what_several_devices_share_is_left_alone():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    dataset = tf.data.Dataset.range(2).batch(1)
    iterator = iter(strategy.experimental_distribute_dataset(dataset))
    batches, given = take_ahead((iterator,), 1)
    assert batches == [] and given == (iterator,)
    assert numbers_of(iterator) == [[0], [1]]


def test_a_step_is_not_traced_again_for_what_is_given_back():
    """The last batch, a smaller one, has the signature of all of them."""
    dataset = tf.data.Dataset.range(5).batch(2)
    iterator = iter(dataset)
    last = list(iterator)[-1]
    again = batches_again([last], iterator)
    assert again.element_spec == iterator.element_spec
    assert again.element_spec != tf.type_spec_from_value(last)
    assert numbers_of(again) == [[4]]


def test_what_is_optional_is_nothing_in_a_step():
    nothing = tf.experimental.Optional.empty(tf.TensorSpec(()))
    assert as_in_a_step(({"x": 1.0}, nothing)) == ({"x": 1.0}, None)
