from keras_perceptual.gradients import message, reasons


def all_reasons():
    return [v for k, v in vars(reasons).items() if k.isupper()]


def test_every_reason_is_explained():
    assert len(set(all_reasons())) == len(all_reasons()) == 5
    for reason in all_reasons():
        assert message.ADVICE[reason]
