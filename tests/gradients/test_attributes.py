import pytest

from keras_perceptual.gradients.attributes import replaced


class Part:
    def name(self):
        return "its class's"


def test_own_attribute_comes_back():
    part = Part()
    part.name = None
    with replaced(part, "name", 2):
        assert part.name == 2
    assert vars(part) == {"name": None}


def test_attribute_of_the_class_comes_back_after_an_error():
    part = Part()
    with (
        pytest.raises(KeyError),
        replaced(part, "name", 1),
        replaced(part, "name", 2),
    ):
        assert part.name == 2
        raise KeyError
    assert vars(part) == {}
    assert part.name() == "its class's"
