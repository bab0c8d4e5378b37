import pytest

from keras_perceptual.gradients import kinds
from keras_perceptual.gradients.replay import Operation


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AddV2", "add"),
        ("BatchMatMulV3", "batchmatmul"),
        ("Relu6", "relu6"),
        ("Conv2D", "conv2d"),
        ("__rmul__", "rmul"),
        ("relu_", "relu"),
        ("dot_general", "dot_general"),
        ("round under no_grad", "round"),
    ],
)
def test_one_name_for_all_backends(name, expected):
    assert kinds.kind_of(Operation(name, (), ())) == expected


def test_no_name_is_written_as_it_would_never_be_looked_up():
    for name, names in vars(kinds).items():
        if name.isupper():
            for kind in names:
                assert kinds.kind_of(Operation(kind, (), ())) == kind
