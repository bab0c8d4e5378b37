import copy
import json
import pathlib

import keras
import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual import SSIMLoss, WeightedSumLoss
from keras_perceptual.configuration import Configured


class Grade(Configured, keras.layers.Layer):
    def __init__(self, size=2, *, file=None, inner=None, **kwargs):
        super().__init__(**kwargs)
        self.size, self.file, self.inner = size, file, inner


class Hidden(Configured, keras.constraints.Constraint):
    def __init__(self, weights):
        self.weights = len(weights)
        self._weights_config = list(weights)


def test_what_keras_keeps_and_what_the_object_keeps():
    grade = Grade((2, 3), file=pathlib.Path("x"), name="one", dtype="float32")
    config = json.loads(json.dumps(grade.get_config()))
    assert config.pop("dtype")["config"] == {"name": "float32"}
    assert config == {
        "size": [2, 3],
        "file": "x",
        "inner": None,
        "name": "one",
        "trainable": True,
    }


def test_objects_of_keras_are_serialized_wherever_they_are():
    inner = keras.regularizers.L2(0.5)
    config = Grade(inner={"all": (inner, 2.0)}).get_config()["inner"]
    serialized, weight = config["all"]
    assert serialized["class_name"] == "L2"
    assert weight == 2.0


def test_an_argument_may_be_written_otherwise():
    assert Hidden((1, 2)).get_config() == {"weights": [1, 2]}


def test_what_the_constructor_does_not_take_is_left_out():
    """Keras keeps the reduction of every loss."""
    loss = WeightedSumLoss({"pixels": keras.losses.MeanSquaredError()})
    names = {"name", "terms", "channels", "balance", "shares"}
    assert set(loss.get_config()) == names


@pytest.mark.parametrize("given", [{}, {"filter_size": 5}])
def test_a_subclass_that_hands_arguments_on_keeps_them(given):
    class Smaller(SSIMLoss):
        def __init__(self, extra=3, **kwargs):
            super().__init__(**kwargs)

    assert Smaller(**given).get_config() == {
        **SSIMLoss(**given).get_config(),
        "name": "ssim_loss",
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kp.LPIPS(net="alex"), r'Did you mean `backbone="alexnet"`'),
        (lambda: kp.LPIPS(net_type="vgg"), r'Did you mean `backbone="vgg16"`'),
        (lambda: kp.SSIMLoss(window_size=7), "Did you mean `filter_size`"),
        (lambda: kp.SSIMLoss(max_val=255), "Did you mean `value_range`"),
        (lambda: kp.SSIMLoss(filter_siz=7), "Did you mean 'filter_size'"),
        (lambda: kp.CharbonnierLoss(eps=1e-6), "Did you mean `epsilon`"),
        (lambda: kp.SSIMLoss(color="red"), r"arguments are.*color='red'"),
        (lambda: kp.TableRange(lowest=1), "Did you mean 'low'|arguments are"),
    ],
)
def test_an_argument_that_there_is_not_is_refused_by_name(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_objects_are_copied(rng):
    images = rng.uniform(size=(2, 1, 16, 16, 3)).astype("float32")
    for loss in (kp.SSIMLoss(filter_size=5), kp.CharbonnierLoss(0.5)):
        for copied in (copy.copy(loss), copy.deepcopy(loss)):
            assert float(copied(*images)) == float(loss(*images))


@pytest.mark.parametrize(
    "text",
    [
        "LPIPS()",
        "LPIPS(backbone='vgg16')",
        "SobelGradientLoss(norm='l2', data_format='channels_first')",
        "PerceptualLoss(backbone='alexnet', layers=['relu2'], scales=2)",
        "WeightedSumLoss(terms={'a': (SSIMLoss(filter_size=7), 0.5)})",
        "ImageDistance(loss=CharbonnierLoss())",
        "LookupColorLayer(size=9)",
        "GradientSanityCallback(steps=5)",
    ],
)
def test_an_object_is_shown_as_the_code_that_makes_it(text):
    assert repr(eval(text, vars(kp).copy())) == text


def test_what_has_no_text_of_its_own_is_shown_too():
    image = np.zeros((16, 16, 3), "float32")
    loss = kp.PerceptualLoss(
        "alexnet", ["relu1"], style_weight=1.0, style_image=image
    )
    assert "style_image=" in repr(loss)
