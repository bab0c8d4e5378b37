import numpy as np
import pytest

from keras_perceptual.callbacks.image_choice import ImageChoice, take_first

BLACK = np.zeros((2, 4, 5, 3), "float32")


def choice(inputs=BLACK, **settings):
    return ImageChoice(
        **{
            "owner": "Owner",
            "inputs": inputs,
            "targets": None,
            "output": None,
            "value_range": (-1.0, 1.0),
            "data_format": "channels_last",
            **settings,
        }
    )


def test_columns_have_titles_in_order():
    noise = np.zeros((2, 7), "float32")
    columns = choice([BLACK, noise, BLACK + 1], targets=BLACK - 1).columns(
        BLACK
    )
    assert list(columns) == ["input 1", "input 3", "prediction", "target"]
    assert columns["input 1"].shape == (2, 4, 5, 3)
    # By the range from -1 to 1.
    assert [int(x.max()) for x in columns.values()] == [128, 255, 128, 0]
    assert list(choice().columns(BLACK)) == ["input", "prediction"]
    named = choice({"b": BLACK, "a": noise}).columns(BLACK)
    assert list(named) == ["b", "prediction"]


@pytest.mark.parametrize(
    "predicted, output",
    [([BLACK, BLACK + 1], 1), ({"a": BLACK, "b": BLACK + 1}, "b")],
)
def test_one_output_is_shown(predicted, output):
    found = choice(output=output).columns(predicted)["prediction"]
    assert found.min() == 255
    for wrong in (None, "c", 2):
        with pytest.raises(ValueError, match=r"^Owner shows one.*output="):
            choice(output=wrong).columns(predicted)


def test_what_several_replicas_predicted_is_shown_once():
    predicted = np.concatenate([BLACK, BLACK + 1])
    found = choice().columns(predicted)["prediction"]
    assert found.shape == BLACK.shape
    assert found.max() == 128


def test_predictions_and_targets_are_images():
    with pytest.raises(ValueError, match=r"a prediction of shape \(2, 7\)$"):
        choice().columns(np.zeros((2, 7)))
    with pytest.raises(ValueError, match=r"targets of shape \(2, 7\)$"):
        choice(targets=np.zeros((2, 7)))
    for targets in (BLACK[:1], BLACK[:0]):
        with pytest.raises(ValueError, match=r"^Owner needs a target for"):
            choice(targets=targets)
    with pytest.raises(ValueError, match=r"one input at least"):
        choice(BLACK[:0])


def test_the_first_images_are_taken():
    images = np.arange(12.0).reshape(3, 4)
    found = take_first("Owner", images, 2)
    np.testing.assert_array_equal(found, images[:2])
    assert not np.shares_memory(found, images)
    assert len(take_first("Owner", images, 9)) == 3
    for wrong in ([1, 2], np.float32(1)):
        with pytest.raises(ValueError, match=r"^Owner needs arrays.*of type"):
            take_first("Owner", wrong, 1)
