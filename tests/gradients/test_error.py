import pickle

from keras_perceptual.gradients import GradientReport, GradientSanityError


def test_error_carries_the_report():
    report = GradientReport((), 3)
    error = GradientSanityError("Nothing learns.", report)
    assert isinstance(error, ValueError)
    assert str(error) == "Nothing learns."
    assert error.report is report


def test_error_survives_pickling():
    error = GradientSanityError("Nothing learns.", GradientReport((), 3))
    revived = pickle.loads(pickle.dumps(error))
    assert str(revived) == "Nothing learns."
    assert revived.report == error.report
