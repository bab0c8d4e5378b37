import pytest

from keras_perceptual.gradients import risks
from keras_perceptual.gradients.mends import normalize
from keras_perceptual.gradients.risks import UNKNOWN, find_risk


def text(*names):
    return " ".join(find_risk(*names))


@pytest.mark.parametrize(
    "operations, words",
    [
        (["Sqrt", "rsqrt", "linalg_vector_norm"], ["epsilon", "inside"]),
        (["Log", "log", "Xlogy"], ["epsilon", "logsumexp"]),
        (["RealDiv", "div", "Reciprocal"], ["epsilon", "zero"]),
        (["Mean", "nanmean"], ["nothing"]),
        (["Pow", "integer_pow"], ["base"]),
        (["Exp", "exp"], ["overflows"]),
        (["Acos", "asin", "atanh"], ["Clip"]),
        (["Atan2"], ["zero"]),
        (["Lgamma", "digamma"], ["negative integers"]),
        (["SelfAdjointEigV2", "eigh", "Svd", "linalg_eigh"], ["equal"]),
        (["Cholesky", "linalg_inv", "MatrixSolve"], ["identity"]),
        (["SegmentMax", "UnsortedSegmentMax", "scatter_max"], ["empty"]),
        (["Max", "amax"], ["masked"]),
        (["Softmax", "log_softmax"], ["row", "-1e9"]),
        (["CTCLossV2", "ctc_loss"], ["time"]),
        (["SelectV2", "where"], ["branch"]),
        (["Prod", "cumprod"], ["entries"]),
        (["Cast", "_to_copy", "convert_element_type"], ["float16"]),
        (["MatMul", "mul", "Square", "conv2d"], ["learning rate", "scale"]),
    ],
)
def test_risky_operations_of_all_backends(operations, words):
    for operation in operations:
        for word in words:
            assert word.lower() in text(operation).lower()


def test_a_guard_behind_a_root_is_no_guard():
    assert "`maximum` or `where` after the root does not help" in text("Sqrt")


def test_the_public_function_tells_more_than_the_operation():
    assert "root" in text("Mul", "keras.ops.normalize")
    assert "segment" in text("scatter", "keras.ops.segment_max")


def test_unknown_operation():
    assert find_risk("Frobnicate", "keras.ops.frobnicate") == UNKNOWN


def test_every_name_is_in_one_family_and_can_be_found():
    names = [name for names, *_ in risks.FAMILIES for name in names.split()]
    assert len(names) == len(set(names))
    assert [normalize(name) for name in names] == names
    for _, *sentences in (*risks.FAMILIES, ("", *UNKNOWN)):
        assert all(sentence.endswith(".") for sentence in sentences)
