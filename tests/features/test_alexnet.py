import numpy as np

from keras_perceptual.features.alexnet import build_alexnet


def test_sizes_are_those_of_explicit_padding():
    network = build_alexnet()
    assert network.count_params() == 2_469_696
    assert network.compute_output_shape((1, 224, 224, 3)) == (1, 13, 13, 256)
    assert network.compute_output_shape((2, 64, 96, 3)) == (2, 3, 5, 256)
    assert network(np.zeros((1, 31, 31, 3))).shape == (1, 1, 1, 256)
