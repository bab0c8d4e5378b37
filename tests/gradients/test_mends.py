import pytest

from keras_perceptual.gradients.mends import MENDS, UNKNOWN, find_mend


@pytest.mark.parametrize(
    ("operations", "mend"),
    [
        (["ArgMax", "argmin", "TopKV2", "one_hot"], "scores"),
        (["Round", "Floor", "rint", "Sign"], "staircase"),
        (["Cast", "convert_element_type"], "y_pred"),
        (["Greater", "LessEqual", "gt", "eq"], "sigmoid"),
        (
            ["PyFunc", "EagerPyFunc", "pure_callback", "__float__", "item"],
            "LookupColorLayer",
        ),
        (["StopGradient", "stop_gradient", "detach"], "trainable = False"),
        (["AssignVariableOp"], "variable"),
        (["HistogramFixedWidth", "Bucketize", "searchsorted"], "bins"),
        (["DecodeJpeg"], "bytes"),
    ],
)
def test_operations_of_all_backends_have_a_mend(operations, mend):
    for operation in operations:
        assert mend in " ".join(find_mend(operation))


def test_unknown_operation():
    assert find_mend("Frobnicate") == UNKNOWN
    for _, *sentences in MENDS:
        assert all(sentence.endswith(".") for sentence in sentences)


def test_layers_of_this_package_have_mends_of_their_own():
    matter, mend = find_mend("Floor", "LookupColorLayer")
    assert "interpolation='nearest'" in matter
    assert "'tetrahedral'" in mend
    assert find_mend("Floor", "Dense") == find_mend("Floor")
