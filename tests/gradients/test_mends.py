import pytest

from keras_perceptual.gradients import mends
from keras_perceptual.gradients.mends import UNKNOWN, find_mend, normalize


def text(*names):
    return " ".join(find_mend(*names))


# For each family, what TensorFlow, JAX and PyTorch call its operations.
@pytest.mark.parametrize(
    "operations, words",
    [
        (["ArgMax", "argmin", "OneHot", "one_hot", "argsort"], ["scores"]),
        (["TopKV2", "top_k", "sort"], ["softmax", "values"]),
        (["Round", "floor", "aten.ceil.default", "Sign"], ["staircase"]),
        (["HistogramFixedWidth", "Bucketize", "searchsorted"], ["bins"]),
        (["Cast", "convert_element_type", "long"], ["integers", "y_pred"]),
        (["Greater", "LessEqual", "gt", "eq", "is_finite"], ["comparison"]),
        (["Where", "SelectV2", "select_n"], ["condition", "sigmoid"]),
        (["GatherV2", "gather", "SegmentSum"], ["softmax"]),
        (["PyFunc", "EagerPyFunc", "numpy", "item"], ["NumPy", "number"]),
        (["pure_callback"], ["keras.ops", "jax.custom_jvp"]),
        (["StopGradient", "stop_gradient", "detach"], ["second way"]),
        (["AssignVariableOp", "copy_"], ["number from then on"]),
        (["IdentityN", "custom_vjp_call"], ["custom_gradient"]),
        (["StatelessRandomBinomial", "bernoulli"], ["Reparam", "Gumbel"]),
        (["Multinomial", "poisson", "random_gamma"], ["sample"]),
        (["ImageProjectiveTransformV3"], ["map_coordinates", "grid"]),
        (["HSVToRGB"], ["image"]),
        (["DecodeJpeg", "StringJoin"], ["bytes"]),
        (["ZerosLike", "zeros_like", "Shape"], ["shape"]),
        (["LinSpace", "Range"], ["arange"]),
        (["Lu", "MatrixExponential"], ["decomposition"]),
        (["while", "StatelessWhile"], ["fori_loop", "scan"]),
    ],
)
def test_operations_of_all_backends_have_a_mend(operations, words):
    for operation in operations:
        for word in words:
            assert word in text(operation)


# What a pattern without anchors takes for something else.
@pytest.mark.parametrize(
    "operation, wrong",
    [
        ("StatelessRandomBinomial", "less"),
        ("BroadcastTo", "cast"),
        ("ImageProjectiveTransformV3", "bytes"),
        ("TruncatedNormal", "staircase"),
        ("Print", "staircase"),
        ("AssignVariableOp", "staircase"),
        ("Design", "staircase"),
        ("CountUpTo", "bins"),
        ("NumpyLike", "NumPy"),
        ("RandomStandardNormal", "comparison"),
        ("Einsum", "scores"),
        ("FloatDiv", "NumPy"),
    ],
)
def test_a_part_of_a_name_is_not_the_name(operation, wrong):
    assert wrong not in text(operation)


def test_straight_through_is_shown_in_full():
    form = "`soft + keras.ops.stop_gradient(hard - soft)`"
    for operation in ("Round", "ArgMax", "Greater", "StopGradient"):
        assert form in text(operation)
        assert "straight-through" in text(operation)


def test_the_public_function_tells_more_than_the_operation():
    # On TensorFlow, argmax begins with a bitcast.
    assert "scores" in text("Bitcast", "keras.ops.argmax")
    assert "sample" in text("lt", "keras.random.binomial")
    assert "integers" in text("Cast", "keras.ops.where_nothing_is_known")


def test_leaving_python_is_not_a_cast():
    assert "NumPy" in text("__int__")
    assert "NumPy" in text("__bool__")
    assert "integers" in text("int")


def test_operation_that_ran_without_gradients():
    assert "`torch.no_grad()`" in text("expand under no_grad")
    assert "sample" in text("expand under no_grad", "keras.random.gamma")
    assert "staircase" in text("round under no_grad")


def test_operation_that_can_be_differentiated_is_not_called_without_one():
    for operation in ("MatMul", "Frobnicate", "PartitionedCall"):
        assert find_mend(operation) == UNKNOWN
    assert "no gradient" not in " ".join(UNKNOWN)
    assert "has no gradient" not in " ".join(UNKNOWN)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("ArgMax", "argmax"),
        ("TopKV2", "topk"),
        ("arg_max_v2", "argmax"),
        ("copy_", "copy"),
        ("aten::round.default", "round"),
        ("aten._to_copy.default", "tocopy"),
        ("keras.ops.image.affine_transform", "affinetransform"),
        ("Conv2D", "conv2d"),
        ("", ""),
    ],
)
def test_names_are_the_same_on_all_backends(name, expected):
    assert normalize(name) == expected


@pytest.mark.parametrize(
    "layer, words",
    [
        ("LookupColorLayer", ["interpolation='nearest'", "'tetrahedral'"]),
        ("Embedding", ["softmax", "integers", "table"]),
    ],
)
def test_layers_have_mends_of_their_own(layer, words):
    for word in words:
        assert word in text("Cast", "keras.ops.cast", layer)
    assert find_mend("Cast", "", "Dense") == find_mend("Cast")


def test_every_name_is_in_one_family_and_can_be_found():
    names = [name for names, *_ in mends.FAMILIES for name in names.split()]
    assert len(names) == len(set(names))
    for name in names:
        assert name.startswith("__") or normalize(name) == name
    for _, *sentences in mends.FAMILIES:
        assert all(sentence.endswith(".") for sentence in sentences)
